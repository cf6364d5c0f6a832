// Building elements. Data becomes text nodes and attributes, never markup: nothing here or elsewhere parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Attributes whose name begins with "on" are listeners; null and false ones are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A small drawing that says nothing to a screen reader; `path` is one of ours. */
export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  const shape = document.createElementNS(SVG, "path");
  for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" })) {
    svg.setAttribute(name, value);
  }
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

/** A button that submits nothing. */
export function button(label, onclick, attributes = {}) {
  return h("button", { type: "button", onclick, ...attributes }, label);
}

/** A time as people read it, the exact one beside it for programs. */
export function time(moment, text) {
  return moment ? h("time", { datetime: moment, title: moment }, text) : "–";
}

/** A table with a caption for screen readers. A column is {label, cell(item), class?}; the first one heads its row. */
export function table(caption, columns, items) {
  return h(
    "table",
    {},
    h("caption", { class: "hidden" }, caption),
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.class }, column.label)))),
    h("tbody", {}, items.map((item) => tableRow(columns, item))),
  );
}

/** One row of such a table. */
export function tableRow(columns, item) {
  const cells = columns.map((column, index) => {
    const attributes = { "data-label": column.label, class: column.class };
    return index === 0
      ? h("th", { scope: "row", ...attributes }, column.cell(item))
      : h("td", attributes, column.cell(item));
  });
  return h("tr", {}, cells);
}

/** A list of what things are called and what they are. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
