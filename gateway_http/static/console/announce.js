// Saying what happened: to screen readers without moving anybody, and in a corner of the page to everybody.

import { button, h } from "./dom.js";
import { has, t } from "./i18n.js";

const NOTE_SECONDS = 8;
const NOTES_MAX = 4;

const region = h("div", { class: "hidden", role: "status", "aria-live": "polite" });
const notes = h("div", { class: "notes", role: "alert" });

/** Where announcements appear; on the page from its start, or screen readers would not notice. */
export const announcements = [region, notes];

/** For screen readers only: what everybody else can see. */
export function say(text) {
  region.textContent = text;
}

/** For everybody, for some seconds; an error stays until it is closed. */
export function note(text, isError = false) {
  const element = h(
    "p",
    { class: isError ? "note error" : "note" },
    text,
    button("×", () => element.remove(), { class: "plain", "aria-label": t("close") }),
  );
  notes.append(element);
  while (notes.childElementCount > NOTES_MAX) notes.firstElementChild.remove();
  if (!isError) setTimeout(() => element.remove(), NOTE_SECONDS * 1000);
}

/** What went wrong, in the reader's language where we know the code. */
export function textOf(error) {
  const key = `error.${error.code}`;
  if (error.code && has(key)) return t(key);
  return error.message;
}

/** Do something and say so when it fails; undefined then. */
export async function attempt(task) {
  try {
    return await task();
  } catch (error) {
    if (error.code === undefined) throw error;
    note(textOf(error), true);
    return undefined;
  }
}
