// What a document has been: its versions from the backup, to be downloaded and restored.

import { attempt, note } from "./announce.js";
import { button, h, table, tableRow, time } from "./dom.js";
import { openDialog } from "./dialog.js";
import { bytes, t, when } from "./i18n.js";

const PAGE = 50;

/** A dialog with the versions of `file`, newest first. */
export async function showHistory(app, file) {
  const first = await attempt(() => app.api.get(`/files/${file.id}/versions`, { limit: PAGE }));
  if (!first) return;
  const columns = columnsOf(app, file, () => dialog.close());
  const listed = table(t("history.title", { name: file.name }), columns, first.items);
  const more = button(t("files.more"), () => attempt(load), { hidden: first.next === null });
  let after = first.next;
  async function load() {
    const page = await app.api.get(`/files/${file.id}/versions`, { limit: PAGE, after });
    listed.tBodies[0].append(...page.items.map((item) => tableRow(columns, item)));
    after = page.next;
    more.hidden = after === null;
  }
  const text = first.items.length ? null : h("p", {}, t("history.none"));
  const content = h("div", { class: "scroll", tabindex: "0" }, text, listed, h("p", {}, more));
  const dialog = openDialog(t("history.title", { name: file.name }), content, { wide: true });
}

function columnsOf(app, file, close) {
  return [
    { label: t("history.version"), cell: (item) => String(item.version) },
    { label: t("history.what"), cell: (item) => whatHappened(item) },
    { label: t("files.name"), class: "name", cell: (item) => item.name },
    { label: t("files.size"), class: "size", cell: (item) => bytes(item.size) },
    { label: t("history.when"), class: "when", cell: (item) => time(item.at, when(item.at)) },
    { label: t("actions"), class: "actions", cell: (item) => (item.event === "File_delete" ? "" : actionsOf(app, file, item, close)) },
  ];
}

function whatHappened(item) {
  if (item.event === "File_delete") return t("history.deleted");
  if (item.event === "File_create") return t(item.version === 1 ? "history.created" : "history.restored");
  return t("history.changed");
}

function actionsOf(app, file, { version }, close) {
  const path = `/files/${file.id}/versions/${version}`;
  const restore = async () => {
    const now = await app.api.post(`${path}/restore`, undefined, { "If-Match": `"v${file.version}"` });
    close();
    note(t("history.now", { version, now: now.version }));
  };
  return h(
    "div",
    { class: "several" },
    button(t("files.download"), () => attempt(() => app.api.download(`${path}/content`)), {
      "aria-label": t("history.download", { version }),
    }),
    button(t("history.restore"), () => attempt(restore), { "aria-label": t("history.restore_version", { version }) }),
  );
}
