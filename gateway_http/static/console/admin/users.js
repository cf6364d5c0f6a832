// Accounts, for administrators: make one, change its name, role and quota, shut it out and let it in again.

import { attempt, say } from "../announce.js";
import { button, h, table } from "../dom.js";
import { confirmDialog, formDialog } from "../dialog.js";
import { filesAddress } from "../files.js";
import { parsedBytes } from "../format.js";
import { bytes, t, tn, when } from "../i18n.js";

const SEARCH_MILLISECONDS = 250;
const PAGE = 100;

export async function usersView(app) {
  const place = h("div", {});
  let [q, users, next] = ["", [], null];
  async function load() {
    const asked = q;
    const page = await app.api.get("/users", { q: asked || null, limit: PAGE });
    if (asked !== q) return;
    [users, next] = [page.items, page.next];
    draw();
  }
  async function more() {
    const page = await app.api.get("/users", { q: q || null, limit: PAGE, after: next });
    users.push(...page.items);
    next = page.next;
    draw();
  }
  function draw() {
    place.replaceChildren(
      users.length ? table(t("users.title"), columnsOf(app, load), users) : h("p", { class: "empty" }, t("users.none")),
      h("p", { class: "foot" }, next !== null && button(t("files.more"), () => attempt(more))),
    );
    say(tn("users.count", users.length));
  }
  const search = h("input", { type: "search", id: "search", maxlength: 255, autocomplete: "off", placeholder: t("users.search") });
  let timer = null;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      q = search.value.trim();
      attempt(load);
    }, SEARCH_MILLISECONDS);
  });
  const bar = h(
    "div",
    { class: "toolbar" },
    h("form", { role: "search", onsubmit: (event) => event.preventDefault() }, h("label", { for: "search", class: "hidden" }, t("users.search")), search),
    button(t("users.new"), () => newUser(app, load), { class: "main" }),
  );
  await load();
  return { title: t("users.title"), element: h("div", {}, bar, place), stop: () => clearTimeout(timer) };
}

function columnsOf(app, load) {
  return [
    { label: t("login.login"), class: "name", cell: (user) => h("a", { href: filesAddress({ owner: user.id }) }, user.login) },
    { label: t("account.name"), cell: (user) => user.name },
    { label: t("users.role"), cell: (user) => t(`role.${user.role}`) },
    { label: t("users.state"), cell: (user) => h("span", { class: `badge ${user.active ? "protected" : "failed"}` }, t(user.active ? "users.active" : "users.disabled")) },
    { label: t("users.quota"), class: "size", cell: (user) => (user.quota_bytes === null ? t("users.unlimited") : bytes(user.quota_bytes)) },
    { label: t("users.since"), class: "when", cell: (user) => when(user.created_at) },
    { label: t("actions"), class: "actions", cell: (user) => actionsOf(app, user, load) },
  ];
}

function actionsOf(app, user, load) {
  const turn = user.active ? t("users.disable") : t("users.enable");
  return h(
    "div",
    { class: "several" },
    button(t("users.edit"), () => edit(app, user, load), { "aria-label": `${t("users.edit")}: ${user.login}` }),
    user.id !== app.user.id &&
      button(turn, () => attempt(() => setActive(app, user, load)), { class: user.active ? "danger" : null, "aria-label": `${turn}: ${user.login}` }),
  );
}

async function newUser(app, load) {
  const fields = [
    { name: "login", label: t("login.login"), required: true, maxlength: 190, autocomplete: "off" },
    { name: "name", label: t("account.name"), maxlength: 255, autocomplete: "off" },
    { name: "password", label: t("login.password"), type: "password", required: true, autocomplete: "new-password", help: t("account.rules") },
  ];
  const made = await formDialog(t("users.new"), fields, t("create"), ({ login, name, password }) =>
    app.api.post("/users", { login, password, ...(name ? { name } : {}) }),
  );
  if (made) await attempt(load);
}

async function edit(app, user, load) {
  const roles = [["user", t("role.user")], ["admin", t("role.admin")]];
  const quota = user.quota_bytes === null ? "" : String(user.quota_bytes);
  const fields = [
    { name: "name", label: t("account.name"), value: user.name, required: true, maxlength: 255, autocomplete: "off" },
    { name: "role", label: t("users.role"), type: "select", value: user.role, options: roles },
    { name: "quota_bytes", label: t("users.quota"), value: quota, help: t("users.quota_help"), autocomplete: "off" },
  ];
  const saved = await formDialog(t("users.edit_title", { login: user.login }), fields, t("save"), (values) =>
    app.api.patch(`/users/${user.id}`, { ...values, quota_bytes: quotaOf(values.quota_bytes) }),
  );
  if (saved) await attempt(load);
}

function quotaOf(text) {
  if (text.trim() === "") return null;
  const quota = parsedBytes(text);
  if (!Number.isSafeInteger(quota)) {
    throw Object.assign(new Error(), { code: "invalid_input", errors: [{ field: "quota_bytes", message: t("users.quota_wrong") }] });
  }
  return quota;
}

async function setActive(app, user, load) {
  const text = t("users.sure", { login: user.login });
  if (user.active && !(await confirmDialog(t("users.disable"), text, t("users.disable")))) return;
  await app.api.patch(`/users/${user.id}`, { active: !user.active });
  await load();
}
