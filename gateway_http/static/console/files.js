// The documents: folders, search, order, upload by button or by dropping, and what can be done with each.

import { attempt } from "./announce.js";
import { button, h } from "./dom.js";
import { formDialog } from "./dialog.js";
import { backupColumn, changedColumn, nameCell, sizeColumn, versionColumn } from "./file_cells.js";
import { subfolders } from "./file_list.js";
import { FileTable } from "./file_table.js";
import { showHistory } from "./history.js";
import { t, tn } from "./i18n.js";
import { labelsText, parsedLabels } from "./labels.js";
import { droppedFiles } from "./upload.js";

const SEARCH_MILLISECONDS = 250;
const FOLDERS_MILLISECONDS = 1000;

/** The address of this view within the page. */
export function filesAddress(state) {
  const fields = Object.entries(state).filter(([key, value]) => value && !(key === "sort" && value === "name"));
  return fields.length ? `#files?${new URLSearchParams(fields)}` : "#files";
}

export async function filesView(app, query) {
  const state = {
    folder: query.get("folder") ?? "",
    q: query.get("q") ?? "",
    sort: query.get("sort") ?? "name",
    owner: (app.user.role === "admin" && query.get("owner")) || "",
  };
  const owners = state.owner === "all" ? await ownersOf(app) : null;
  const table = new FileTable(app, {
    caption: t("files.title"),
    empty: t("files.empty"),
    columns: columnsOf(state, owners),
    actions: (file) => actionsOf(app, file),
    onsort: (sort) => change({ sort }),
  });
  const folders = h("ul", { class: "folders", "aria-label": t("files.folders") });

  function change(values) {
    Object.assign(state, values);
    history.replaceState(null, "", filesAddress(state));
    return attempt(load);
  }
  function load() {
    // With everybody's documents at once, folders of the same name would be mixed.
    const folder = state.owner === "all" ? null : state.folder;
    const recursive = state.q !== "";
    const asked = { sort: state.sort, q: state.q || null, folder, recursive: folder === null || !recursive ? null : true };
    return table.load(
      { ...asked, user_id: state.owner || null },
      { folder, recursive, search: state.q, userId: state.owner === "all" ? null : Number(state.owner) || app.user.id },
    );
  }
  async function loadFolders() {
    if (state.owner) return;
    const items = await app.api.all("/folders", { under: state.folder || null });
    folders.replaceChildren(...subfolders(items, state.folder).map((each) => folderLink(state, each)));
  }

  let folderTimer = null;
  const onchanges = () => {
    folderTimer ??= setTimeout(() => {
      folderTimer = null;
      attempt(loadFolders);
    }, FOLDERS_MILLISECONDS);
  };
  app.live.addEventListener("changes", onchanges);
  const add = (pairs) => {
    for (const [file, folder] of pairs) app.uploads.add(file, folder);
  };
  const element = h(
    "div",
    { class: "files-view" },
    toolbar(app, state, change, (files) => add([...files].map((file) => [file, state.folder]))),
    state.owner ? null : breadcrumbs(state),
    folders,
    table.element,
    h("div", { class: "drop-hint", "aria-hidden": "true" }, t("files.drop")),
  );
  if (!state.owner) acceptDrops(element, async (transfer) => add(await droppedFiles(transfer, state.folder)));
  await Promise.all([load(), loadFolders()]);
  return {
    title: t("files.title"),
    element,
    stop() {
      clearTimeout(folderTimer);
      app.live.removeEventListener("changes", onchanges);
      table.stop();
    },
  };
}

function columnsOf(state, owners) {
  const showFolder = () => state.q !== "" || owners !== null;
  const columns = [
    { label: t("files.name"), sort: "name", class: "name", cell: (file) => nameCell(file, showFolder()) },
    sizeColumn(),
    changedColumn(),
    versionColumn(),
    backupColumn(),
  ];
  const owner = { label: t("files.owner"), class: "owner", cell: (file) => owners.get(file.user_id) ?? `#${file.user_id}` };
  return owners ? columns.toSpliced(1, 0, owner) : columns;
}

async function ownersOf(app) {
  const users = await app.api.all("/users", { limit: 1000 });
  return new Map(users.map((user) => [user.id, user.login]));
}

function toolbar(app, state, change, add) {
  const input = h("input", { type: "file", multiple: true, hidden: true, id: "upload-input" });
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
  const search = h("input", { type: "search", id: "search", maxlength: 255, autocomplete: "off", placeholder: t("files.search") });
  search.value = state.q;
  let timer = null;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => change({ q: search.value.trim() }), SEARCH_MILLISECONDS);
  });
  return h(
    "div",
    { class: "toolbar" },
    h(
      "form",
      { role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", { for: "search", class: "hidden" }, t("files.search")),
      search,
    ),
    app.user.role === "admin" && ownerChoice(app, state),
    !state.owner && button(t("files.new_folder"), () => newFolder(state)),
    state.folder !== "" && button(t("files.archive"), () => attempt(() => app.api.download(archiveOf(state.folder)))),
    !state.owner && button(t("files.upload"), () => input.click(), { class: "main" }),
    input,
  );
}

const archiveOf = (folder) => `/files/archive?folder=${encodeURIComponent(folder)}`;

function ownerChoice(app, state) {
  const choices = [["", t("files.mine")], ["all", t("files.everybody")]];
  if (state.owner && state.owner !== "all") choices.push([state.owner, `#${state.owner}`]);
  const select = h(
    "select",
    { "aria-label": t("files.whose") },
    choices.map(([value, text]) => h("option", { value, selected: value === state.owner }, text)),
  );
  select.addEventListener("change", () => {
    location.hash = filesAddress({ owner: select.value });
  });
  return select;
}

function breadcrumbs(state) {
  const parts = state.folder === "" ? [] : state.folder.split("/");
  const links = [["", t("files.root")], ...parts.map((part, index) => [parts.slice(0, index + 1).join("/"), part])];
  return h(
    "nav",
    { "aria-label": t("files.where"), class: "crumbs" },
    h(
      "ol",
      {},
      links.map(([folder, text], index) => {
        const here = index === links.length - 1;
        return h("li", {}, h("a", { href: filesAddress({ folder }), "aria-current": here ? "page" : null }, text));
      }),
    ),
  );
}

function folderLink(state, { name, path, files }) {
  const link = h("a", { href: filesAddress({ folder: path, sort: state.sort }) }, name);
  return h("li", {}, link, h("span", { class: "count" }, tn("files.in_folder", files)));
}

/** Folders exist as long as something lies in them: a new one is a place to upload to. */
async function newFolder(state) {
  const fields = [{ name: "folder", label: t("files.folder_name"), required: true, maxlength: 255, help: t("files.folder_help") }];
  const name = await formDialog(t("files.new_folder"), fields, t("files.go"), async ({ folder }) => folder.trim());
  if (name) location.hash = filesAddress({ folder: state.folder ? `${state.folder}/${name}` : name });
}

function actionsOf(app, file) {
  return [
    [t("files.download"), () => attempt(() => app.api.download(`/files/${file.id}/content`))],
    [t("files.rename"), () => rename(app, file)],
    [t("files.labels"), () => relabel(app, file)],
    [t("files.history"), () => showHistory(app, file)],
    [t("files.trash"), () => attempt(() => moveToTrash(app, file)), { class: "danger" }],
  ];
}

/** Guarded by the version that the person saw: who was faster is not overwritten. */
async function rename(app, file) {
  const fields = [
    { name: "name", label: t("files.name"), value: file.name, required: true, maxlength: 255 },
    { name: "folder", label: t("files.folder"), value: file.folder, help: t("files.folder_help") },
  ];
  await formDialog(t("files.rename_title", { name: file.name }), fields, t("save"), (values) =>
    app.api.patch(`/files/${file.id}`, values, { "If-Match": `"v${file.version}"` }),
  );
}

/** Guarded likewise: the server replaces all labels, and somebody may have added one. */
async function relabel(app, file) {
  const field = { name: "labels", label: t("files.labels"), type: "lines", value: labelsText(file.labels), help: t("files.labels_help") };
  await formDialog(t("files.labels_title", { name: file.name }), [field], t("save"), ({ labels }) =>
    app.api.patch(`/files/${file.id}`, { labels: parsedLabels(labels) }, { "If-Match": `"v${file.version}"` }),
  );
}

async function moveToTrash(app, file) {
  await app.api.delete(`/files/${file.id}`);
}

function acceptDrops(element, dropped) {
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // enter and leave come for every child, too
  const mark = (by) => {
    depth = by === 0 ? 0 : depth + by;
    element.classList.toggle("dropping", depth > 0);
  };
  element.addEventListener("dragenter", (event) => isFiles(event) && mark(1));
  element.addEventListener("dragleave", (event) => isFiles(event) && mark(-1));
  element.addEventListener("dragover", (event) => isFiles(event) && event.preventDefault());
  element.addEventListener("drop", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    mark(0);
    attempt(() => dropped(event.dataTransfer));
  });
}
