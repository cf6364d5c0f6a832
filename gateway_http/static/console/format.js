// Sizes, times and texts as people read them. Pure: the tests run this in Node.

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte"];

/** Bytes in the largest unit that leaves a number from 1 on: 1.5 MB, in French 1,5 Mo. */
export function bytes(count, language) {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : 1;
  const display = unit === 0 ? "long" : "short"; // 100 bytes, but 1.5 MB
  const options = { style: "unit", unit: UNITS[unit], unitDisplay: display, maximumFractionDigits: digits };
  return formatter(Intl.NumberFormat, language, options).format(value);
}

/** A whole number. */
export function number(count, language) {
  return formatter(Intl.NumberFormat, language, {}).format(count);
}

const SPANS = [["day", 86400], ["hour", 3600], ["minute", 60]];

/** Seconds in the largest unit that they fill twice, so that nothing important is cut off: 90 sec, 100 min, 47 hr, 2 days. */
export function duration(seconds, language) {
  const [unit, size] = SPANS.find(([, each]) => seconds >= 2 * each) ?? ["second", 1];
  const options = { style: "unit", unit, unitDisplay: "short" };
  return formatter(Intl.NumberFormat, language, options).format(Math.floor(seconds / size));
}

/** How much of a whole: 37 %. Never 100 % before the end. */
export function percent(part, whole, language) {
  const share = whole === 0 ? 1 : Math.floor((100 * part) / whole) / 100;
  return formatter(Intl.NumberFormat, language, { style: "percent" }).format(share);
}

/** A day and a time, in the reader's time zone. */
export function when(moment, language) {
  return formatter(Intl.DateTimeFormat, language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(moment));
}

/** The way names are compared by the server: without regard to case and accents. */
export function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** A number that a person typed, in bytes: "1.5 GB", "200 Mo", "1000". NaN for what is none. */
export function parsedBytes(text) {
  const match = /^\s*(\d+(?:[.,]\d+)?)\s*(?:([kmgtp])?(?:b|o|bytes?|octets?)?)?\s*$/i.exec(text);
  if (!match) return Number.NaN;
  const power = match[2] ? " kmgtp".indexOf(match[2].toLowerCase()) : 0;
  return Math.round(Number(match[1].replace(",", ".")) * 1000 ** power);
}

// Making one costs a hundred times what using it does: with thousands of rows that counts.
const made = new Map();

function formatter(Kind, language, options) {
  const key = `${Kind.name} ${language} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new Kind(language, options));
  return made.get(key);
}
