// Labels as people type them: one a line, `crm.deal = 42`. Pure: the tests run this in Node.

/** The text for these labels. */
export function labelsText(labels) {
  return Object.entries(labels ?? {})
    .map(([name, value]) => (value === "" ? name : `${name} = ${value}`))
    .join("\n");
}

/**
 * The labels of a text: what `labelsText` wrote comes back as it was. A line without `=` is a label without a value; what
 * names are good is the server's to say.
 */
export function parsedLabels(text) {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf("=");
      return at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 1).replace(/^ /, "")];
    }),
  );
}
