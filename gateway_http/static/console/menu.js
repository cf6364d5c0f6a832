// One menu for a button: arrows move, Enter chooses, Escape closes and gives the focus back (WAI-ARIA menu button).

import { h } from "./dom.js";

let open = null;

/** Open a menu below `opener`. An item is [label, action]; null ones are left out. */
export function openMenu(opener, items) {
  closeMenu();
  const entries = items
    .filter(Boolean)
    .map(([label, action, attributes = {}]) =>
      h("button", { type: "button", role: "menuitem", tabindex: "-1", onclick: () => choose(action), ...attributes }, label),
    );
  const menu = h("div", { role: "menu", class: "menu", "aria-label": opener.getAttribute("aria-label") }, entries);
  menu.addEventListener("keydown", (event) => move(event, entries));
  menu.addEventListener("focusout", (event) => menu.contains(event.relatedTarget) || closeMenu());
  open = { menu, opener };
  opener.setAttribute("aria-expanded", "true");
  opener.parentElement.append(menu);
  entries[0].focus();
}

/** Close the menu that is open, if one is. */
export function closeMenu() {
  if (!open) return;
  const { menu, opener } = open;
  open = null;
  opener.setAttribute("aria-expanded", "false");
  menu.remove();
}

function choose(action) {
  const { opener } = open;
  closeMenu();
  opener.focus();
  action();
}

function move(event, entries) {
  const at = entries.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    entries.at(to % entries.length).focus();
  } else if (event.key === "Escape") {
    event.preventDefault();
    const { opener } = open;
    closeMenu();
    opener.focus();
  }
}
