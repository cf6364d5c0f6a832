// The trash: what was deleted, until it is restored or removed for good.

import { attempt, note } from "./announce.js";
import { h } from "./dom.js";
import { confirmDialog } from "./dialog.js";
import { changedColumn, nameCell, sizeColumn, versionColumn } from "./file_cells.js";
import { FileTable } from "./file_table.js";
import { showHistory } from "./history.js";
import { t } from "./i18n.js";

export async function trashView(app) {
  const table = new FileTable(app, {
    caption: t("trash.title"),
    empty: t("trash.empty"),
    columns: [
      { label: t("files.name"), sort: "name", class: "name", cell: (file) => nameCell(file, true) },
      sizeColumn(),
      { ...changedColumn(), label: t("trash.since") },
      versionColumn(),
    ],
    actions: (file) => [
      [t("trash.restore"), () => attempt(() => restore(app, file))],
      [t("files.history"), () => showHistory(app, file)],
      [t("trash.remove"), () => attempt(() => removeForGood(app, file)), { class: "danger" }],
    ],
    onsort: (sort) => attempt(() => load(sort)),
  });
  const load = (sort) => table.load({ deleted: true, sort }, { trash: true, userId: app.user.id });
  await load("-updated_at");
  return { title: t("trash.title"), element: h("div", {}, h("p", {}, t("trash.text")), table.element), stop: () => table.stop() };
}

async function restore(app, file) {
  await app.api.post(`/files/${file.id}/restore`);
  note(t("trash.restored", { name: file.name }));
}

async function removeForGood(app, file) {
  const sure = await confirmDialog(t("trash.remove"), t("trash.sure", { name: file.name }), t("trash.remove"));
  if (sure) await app.api.delete(`/files/${file.id}`, { permanent: true });
}
