// Words in the reader's language. A key with a number in it has one text for each plural form of the language.

import * as format from "./format.js";
import en from "./words_en.js";
import fr from "./words_fr.js";

const WORDS = { en, fr };
const STORE = "docsave.language";

export const LANGUAGES = { en: "English", fr: "Français" };

let language = "en";
let region = "en";

/** The language chosen here before, else the first of the browser's that we speak, else English. */
export function preferredLanguage(chosen, wanted) {
  const asked = [chosen, ...wanted].filter(Boolean).map((each) => each.slice(0, 2).toLowerCase());
  return asked.find((each) => each in WORDS) ?? "en";
}

/** Speak the reader's language from now on. */
export function startLanguage() {
  useLanguage(preferredLanguage(localStorage.getItem(STORE), navigator.languages));
}

/** Speak this language, here and the next time. */
export function chooseLanguage(chosen) {
  localStorage.setItem(STORE, chosen);
  useLanguage(chosen);
}

function useLanguage(chosen) {
  language = chosen;
  // Days and numbers as in the reader's country, when the browser tells one for this language.
  region = navigator.languages.find((each) => each.toLowerCase().startsWith(`${chosen}-`)) ?? chosen;
  document.documentElement.lang = chosen;
}

export const currentLanguage = () => language;

/** The text for a key; {name} in it is replaced by that value, as text. */
export function t(key, values = {}) {
  return filled(WORDS[language][key] ?? key, values);
}

/** The text for a key and a count: {count} is the number. */
export function tn(key, count, values = {}) {
  const form = new Intl.PluralRules(language).select(count);
  const text = WORDS[language][`${key}.${form}`] ?? WORDS[language][`${key}.other`] ?? key;
  return filled(text, { count: format.number(count, region), ...values });
}

/** Whether there is a text for a key. */
export const has = (key) => key in WORDS[language];

/** A word of the system's in the reader's language; one that we have no text for stays as it is. */
export const said = (kind, word) => WORDS[language][`${kind}.${word}`] ?? word;

function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export const bytes = (count) => format.bytes(count, region);
export const number = (count) => format.number(count, region);
export const duration = (seconds) => format.duration(seconds, region);
export const percent = (part, whole) => format.percent(part, whole, region);
export const when = (moment) => (moment ? format.when(moment, region) : "–");
