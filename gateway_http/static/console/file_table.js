// A table of documents that keeps itself true: pages on demand, changes while they happen, rows touched one by one.

import { attempt, say } from "./announce.js";
import { button, h, icon } from "./dom.js";
import { FileList } from "./file_list.js";
import { t, tn } from "./i18n.js";
import { openMenu } from "./menu.js";

const FIRST_PAGE = 100;
const NEXT_PAGES = 500;
const PENDING_SECONDS = 10;
const PENDING_ASKED_MAX = 20;
const DOTS = "M12 5.5a1.5 1.5 0 1 0 0 .01M12 11.5a1.5 1.5 0 1 0 0 .01M12 17.5a1.5 1.5 0 1 0 0 .01";

export class FileTable {
  #rows = new Map();
  #loading = null;
  #missed = [];
  #stops = [];

  /**
   * `columns` as for `dom.table`, with `sort` where the API can sort by it; `actions(file)` the items of a row's menu;
   * `empty` says why there is nothing.
   */
  constructor(app, { columns, actions, empty, caption, onsort }) {
    this.app = app;
    this.columns = columns;
    this.actions = actions;
    this.list = null;
    this.body = h("tbody", {});
    this.head = h("thead", {});
    this.empty = h("p", { class: "empty", hidden: true }, empty);
    this.count = h("span", { class: "count" });
    this.moreButton = button(t("files.more"), () => attempt(() => this.more()), { hidden: true });
    this.table = h("table", { class: "files" }, h("caption", { class: "hidden" }, caption), this.head, this.body);
    this.element = h("div", {}, this.table, this.empty, h("p", { class: "foot" }, this.count, this.moreButton));
    this.onsort = onsort;
    this.body.addEventListener("click", (event) => this.#clicked(event));
    this.#follow();
  }

  /** Show what fits `query` of the API. Changes from here on are shown, too. */
  async load(query, options) {
    const list = new FileList({ sort: query.sort, ...options });
    this.list = list;
    this.query = query;
    this.#drawHead();
    this.table.setAttribute("aria-busy", "true");
    const page = await this.#page(list, { ...query, limit: FIRST_PAGE });
    if (this.list !== list) return; // something else was asked for meanwhile
    this.#rows.clear();
    this.body.replaceChildren(...list.addPage(page).map((file) => this.#newRow(file)));
    this.table.removeAttribute("aria-busy");
    this.#catchUp();
    this.#drawFoot();
  }

  async more() {
    const list = this.list;
    const page = await this.#page(list, { ...this.query, limit: NEXT_PAGES, after: list.more });
    if (this.list !== list) return;
    const fresh = list.addPage(page).map((file) => this.#newRow(file));
    this.body.append(...fresh);
    this.#catchUp();
    this.#drawFoot();
    fresh[0]?.querySelector("button")?.focus();
    say(tn("files.shown", list.items.length));
  }

  reload() {
    return attempt(() => this.load(this.query, { ...this.list, sort: this.query.sort }));
  }

  stop() {
    for (const stop of this.#stops) stop();
  }

  /** What is read may be older than a change that comes while it is read: those wait, and are applied afterwards. */
  async #page(list, query) {
    this.#loading = list;
    try {
      return await this.app.api.get("/files", query);
    } finally {
      if (this.#loading === list) this.#loading = null;
    }
  }

  #follow() {
    const { live } = this.app;
    const on = (name, heard) => {
      const listener = ({ detail }) => heard(detail);
      live.addEventListener(name, listener);
      this.#stops.push(() => live.removeEventListener(name, listener));
    };
    on("changes", (events) => this.#heard(events.map((event) => () => this.#apply(event))));
    on("protected", (news) => this.#heard(news.map((each) => () => this.#protect(each))));
    on("lost", () => this.list && this.reload());
    on("back", () => this.#askPending(0));
    const timer = setInterval(() => this.#askPending(PENDING_SECONDS), PENDING_SECONDS * 1000);
    this.#stops.push(() => clearInterval(timer));
  }

  #heard(steps) {
    if (!this.list) return;
    this.#missed.push(...steps);
    if (this.#loading !== this.list) this.#catchUp();
  }

  #catchUp() {
    const steps = this.#missed;
    this.#missed = [];
    const done = steps.map((step) => step()).filter(Boolean);
    if (!done.length) return;
    this.#drawFoot();
    if (done.length > 3) say(tn("live.changes", done.length));
    else say(done.map(({ kind, file }) => t(`live.${kind}`, { name: file.name })).join(" "));
  }

  #apply(event) {
    const change = this.list.apply(event);
    if (change === null) return null;
    const old = this.#rows.get(change.file.id);
    const focused = old?.contains(document.activeElement) ? document.activeElement.className : null;
    old?.remove();
    this.#rows.delete(change.file.id);
    if (change.kind === "removed") return change;
    const row = this.#newRow(change.file);
    row.classList.add("fresh");
    this.body.insertBefore(row, change.before ? (this.#rows.get(change.before.id) ?? null) : null);
    if (focused !== null) row.getElementsByClassName(focused)[0]?.focus();
    return change;
  }

  #protect(news) {
    const file = this.list.protect(news);
    if (file) this.#redraw(file);
    return file && { kind: "protected", file };
  }

  /** The news of a copy is a hint that is not repeated: what has been waiting for long is asked about. */
  async #askPending(seconds) {
    const before = new Date(Date.now() - seconds * 1000).toISOString();
    const waiting = this.list?.items.filter((file) => file.backup.state === "pending" && file.updated_at < before) ?? [];
    for (const { id } of this.list?.trash ? [] : waiting.slice(0, PENDING_ASKED_MAX)) {
      try {
        const file = await this.app.api.get(`/files/${id}`);
        this.#heard([() => this.#protect({ id, version: file.backup.version })]);
      } catch (error) {
        if (error.status !== 404) return; // gone is told by its own change; anything else: the next time
      }
    }
  }

  #redraw(file) {
    const old = this.#rows.get(file.id);
    const cells = [...old.children];
    this.columns.forEach((column, index) => column.live && cells[index].replaceChildren(column.cell(file)));
  }

  #newRow(file) {
    const cells = this.columns.map((column, index) =>
      h(index ? "td" : "th", { scope: index ? null : "row", class: column.class, "data-label": column.label }, column.cell(file)),
    );
    const menu = h(
      "button",
      { type: "button", class: "menu-button", "aria-haspopup": "menu", "aria-expanded": "false" },
      icon(DOTS),
    );
    menu.setAttribute("aria-label", t("files.actions", { name: file.name }));
    const row = h("tr", { "data-id": file.id }, cells, h("td", { class: "actions" }, menu));
    this.#rows.set(file.id, row);
    return row;
  }

  /** One listener for all rows, however many there are. */
  #clicked(event) {
    const target = event.target.closest(".menu-button, .open");
    const file = target && this.list.byId.get(Number(target.closest("tr").dataset.id));
    if (!file) return;
    if (target.classList.contains("menu-button")) openMenu(target, this.actions(file));
    else this.actions(file)[0][1]();
  }

  #drawHead() {
    const heads = this.columns.map((column) => {
      if (!column.sort || !this.onsort) return h("th", { scope: "col", class: column.class }, column.label);
      const down = this.query.sort === `-${column.sort}`;
      const now = down || this.query.sort === column.sort;
      const next = this.query.sort === column.sort ? `-${column.sort}` : column.sort;
      const mark = h("span", { class: "mark", "aria-hidden": "true" }, now ? (down ? " ↓" : " ↑") : "");
      const sorter = button([column.label, mark], () => this.onsort(next), { class: "plain" });
      return h("th", { scope: "col", class: column.class, "aria-sort": now ? (down ? "descending" : "ascending") : "none" }, sorter);
    });
    const focused = [...this.head.querySelectorAll("button")].indexOf(document.activeElement);
    this.head.replaceChildren(h("tr", {}, heads, h("th", { scope: "col", class: "actions" }, h("span", { class: "hidden" }, t("actions")))));
    if (focused >= 0) this.head.querySelectorAll("button")[focused].focus();
  }

  #drawFoot() {
    const { items, more } = this.list;
    this.empty.hidden = items.length > 0 || more !== null;
    this.table.hidden = !this.empty.hidden;
    this.moreButton.hidden = more === null;
    this.count.textContent = items.length ? tn(more === null ? "files.count" : "files.shown", items.length) : "";
  }
}
