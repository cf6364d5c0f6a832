// What a person with a keyboard or a screen reader would stumble over, found by rules (WCAG 2.2, WAI-ARIA 1.2).
() => {
  const found = [];
  const tell = (rule, element) => found.push(`${rule}: ${element.outerHTML.slice(0, 120)}`);
  const shown = (element) => element.checkVisibility() && !element.closest("[hidden]");
  const textOf = (element) => (element.innerText ?? element.textContent).trim();
  const named = (element) => {
    const ids = (element.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean);
    if (ids.length) return ids.every((id) => document.getElementById(id)?.textContent.trim());
    if (element.getAttribute("aria-label")?.trim()) return true;
    if ([...(element.labels ?? [])].some(textOf)) return true;
    return ["BUTTON", "A", "DIALOG"].includes(element.tagName) && textOf(element) !== "";
  };
  for (const element of document.querySelectorAll("button, a, input, select, progress, meter, dialog, [role=menu], [role=menuitem]")) {
    if (shown(element) && !named(element)) tell("has no name", element);
  }
  for (const element of document.querySelectorAll("[tabindex]")) if (element.tabIndex > 0) tell("jumps the queue", element);
  for (const element of document.querySelectorAll("svg, img")) {
    if (element.getAttribute("aria-hidden") !== "true" && !element.getAttribute("alt")) tell("is a picture without words", element);
  }
  for (const element of document.querySelectorAll("[aria-describedby], [aria-labelledby]")) {
    for (const name of ["aria-describedby", "aria-labelledby"]) {
      for (const id of (element.getAttribute(name) ?? "").split(" ").filter(Boolean)) {
        if (!document.getElementById(id)) tell(`refers to nothing by ${name}`, element);
      }
    }
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) found.push(`id twice: ${id}`);
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption?.textContent.trim()) tell("is a table without a caption", table);
    if (table.querySelector("th:not([scope])")) tell("has a heading without a scope", table);
    if (table.querySelector("tbody tr:not(:has(th[scope=row]))")) tell("has a row without a heading", table);
  }
  for (const element of document.querySelectorAll("tr")) if (element.onclick) tell("is clicked without being a button", element);
  if (document.querySelectorAll("h1").length !== 1) found.push("not exactly one h1");
  if (document.querySelectorAll("main").length !== 1) found.push("not exactly one main");
  const levels = [...document.querySelectorAll("main :is(h1, h2, h3)")].map((heading) => Number(heading.tagName[1]));
  levels.forEach((level, index) => index && level > levels[index - 1] + 1 && found.push(`heading h${level} leaves a level out`));
  if (!document.querySelector("[aria-live], [role=status]")) found.push("nothing is announced");
  if (document.documentElement.scrollWidth > innerWidth) found.push(`wider than the window: ${document.documentElement.scrollWidth}`);
  return found;
};
