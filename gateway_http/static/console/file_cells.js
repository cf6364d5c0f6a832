// What the columns of documents show.

import { h, time } from "./dom.js";
import { bytes, t, when } from "./i18n.js";

/** The name as a button that does the row's first action, with labels and, where it says something, the folder. */
export function nameCell(file, showFolder) {
  const labels = Object.entries(file.labels ?? {});
  return h(
    "div",
    { class: "named" },
    h("button", { type: "button", class: "open" }, file.name),
    showFolder && file.folder !== "" && h("span", { class: "folder" }, file.folder),
    labels.map(([key, value]) => h("span", { class: "label" }, value === "" ? key : `${key} = ${value}`)),
  );
}

/** Whether the copy of the current version is safe; if not, which one is. */
export function backupCell(file) {
  const { state, version } = file.backup;
  const text = state === "pending" && version > 0 ? t("backup.pending_after", { version }) : t(`backup.${state}`);
  return h("span", { class: `badge ${state}` }, text);
}

export const sizeColumn = () => ({ label: t("files.size"), sort: "size", class: "size", cell: (file) => bytes(file.size) });

export const versionColumn = () => ({ label: t("files.version"), class: "version", cell: (file) => String(file.version) });

export const changedColumn = () => ({
  label: t("files.changed"),
  sort: "updated_at",
  class: "when",
  cell: (file) => time(file.updated_at, when(file.updated_at)),
});

export const backupColumn = () => ({ label: t("files.backup"), class: "backup", live: true, cell: backupCell });
