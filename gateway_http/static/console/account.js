// One's own account: name, password, what is used of the quota, API keys, sessions.

import { attempt, note } from "./announce.js";
import { button, facts, h, table, time } from "./dom.js";
import { confirmDialog, formDialog, showDialog } from "./dialog.js";
import { bytes, number, t, when } from "./i18n.js";

const SCOPES = ["files:read", "files:write", "events:read"];

export async function accountView(app) {
  const element = h("div", {});
  async function draw() {
    const [usage, keys, sessions] = await Promise.all([
      app.api.get("/users/me/usage"),
      app.api.get("/api-keys"),
      app.api.get("/sessions"),
    ]);
    element.replaceChildren(
      profile(app, usage, draw),
      keysSection(app, keys.items, draw),
      sessionsSection(app, sessions.items, draw),
    );
  }
  await draw();
  return { title: t("account.title"), element };
}

function profile(app, usage, draw) {
  const { user } = app;
  return h(
    "section",
    {},
    h("h2", {}, t("account.profile")),
    facts([
      [t("login.login"), user.login],
      [t("account.name"), user.name],
      [t("users.role"), t(`role.${user.role}`)],
      [t("account.files"), number(usage.files)],
      [t("account.used"), used(usage)],
    ]),
    h(
      "p",
      { class: "buttons start" },
      button(t("account.rename"), () => rename(app, draw)),
      button(t("account.password"), () => changePassword(app)),
    ),
  );
}

function used(usage) {
  if (usage.quota_bytes === null) return bytes(usage.used_bytes);
  const label = t("account.used_of", { used: bytes(usage.used_bytes), quota: bytes(usage.quota_bytes) });
  const share = { min: 0, max: Math.max(usage.quota_bytes, 1), value: usage.used_bytes, "aria-label": label };
  return [h("meter", { ...share, high: usage.quota_bytes * 0.9 }), " ", label];
}

async function rename(app, draw) {
  const fields = [{ name: "name", label: t("account.name"), value: app.user.name, required: true, autocomplete: "name" }];
  const user = await formDialog(t("account.rename"), fields, t("save"), (values) => app.api.patch("/users/me", values));
  if (!user) return;
  app.setUser(user);
  await attempt(draw);
}

async function changePassword(app) {
  const fields = [
    { name: "current_password", label: t("account.current"), type: "password", required: true, autocomplete: "current-password" },
    { name: "password", label: t("account.new"), type: "password", required: true, autocomplete: "new-password", help: t("account.rules") },
  ];
  const save = (values) => app.api.patch("/users/me", values);
  // Every session ends with the old password, this one too: the next call asks for the new one.
  if (await formDialog(t("account.password"), fields, t("save"), save)) note(t("account.changed"));
}

function keysSection(app, keys, draw) {
  const columns = [
    { label: t("account.name"), class: "name", cell: (key) => key.name },
    { label: t("keys.prefix"), cell: (key) => h("code", {}, `${key.prefix}…`) },
    { label: t("keys.scopes"), cell: (key) => key.scopes.join(", ") },
    { label: t("keys.expires"), class: "when", cell: (key) => time(key.expires_at, when(key.expires_at)) },
    { label: t("keys.used"), class: "when", cell: (key) => time(key.last_used_at, when(key.last_used_at)) },
    { label: t("actions"), class: "actions", cell: (key) => endButton(t("keys.end"), key.name, () => endKey(app, key, draw)) },
  ];
  return h(
    "section",
    {},
    h("h2", {}, t("keys.title")),
    h("p", {}, t("keys.text")),
    keys.length ? table(t("keys.title"), columns, keys) : h("p", { class: "empty" }, t("keys.none")),
    h("p", { class: "buttons start" }, button(t("keys.new"), () => newKey(app, draw))),
  );
}

function endButton(label, name, end) {
  return button(label, () => attempt(end), { class: "danger", "aria-label": `${label}: ${name}` });
}

async function newKey(app, draw) {
  const fields = [
    { name: "name", label: t("account.name"), required: true, maxlength: 255 },
    { name: "scopes", label: t("keys.scopes"), type: "checks", value: ["files:read"], options: SCOPES.map((s) => [s, t(`scope.${s}`)]), required: true },
    { name: "until", label: t("keys.until"), type: "date" },
  ];
  const key = await formDialog(t("keys.new"), fields, t("create"), ({ name, scopes, until }) => {
    const expires = until ? { expires_at: new Date(`${until}T23:59:59`).toISOString() } : {};
    return app.api.post("/api-keys", { name, scopes, ...expires });
  });
  if (!key) return;
  await showDialog(t("keys.made"), h("p", {}, t("keys.once")), h("p", {}, h("code", { class: "secret" }, key.key)));
  await attempt(draw);
}

async function endKey(app, key, draw) {
  if (!(await confirmDialog(t("keys.end"), t("keys.sure", { name: key.name }), t("keys.end")))) return;
  await app.api.delete(`/api-keys/${key.id}`);
  await draw();
}

function sessionsSection(app, sessions, draw) {
  const columns = [
    { label: t("sessions.agent"), class: "name", cell: (each) => agentCell(each) },
    { label: t("sessions.address"), cell: (each) => each.address ?? "–" },
    { label: t("sessions.since"), class: "when", cell: (each) => time(each.created_at, when(each.created_at)) },
    { label: t("keys.used"), class: "when", cell: (each) => time(each.last_used_at, when(each.last_used_at)) },
    {
      label: t("actions"),
      class: "actions",
      cell: (each) => (each.current ? "" : endButton(t("sessions.end"), each.agent ?? "", () => endSession(app, each, draw))),
    },
  ];
  const others = sessions.some((each) => !each.current);
  const endOthers = async () => {
    await app.api.delete("/sessions");
    await draw();
  };
  return h(
    "section",
    {},
    h("h2", {}, t("sessions.title")),
    table(t("sessions.title"), columns, sessions),
    others && h("p", { class: "buttons start" }, button(t("sessions.end_others"), () => attempt(endOthers), { class: "danger" })),
  );
}

function agentCell({ agent, current }) {
  return [agent ?? "–", " ", current && h("span", { class: "badge protected" }, t("sessions.this"))].filter(Boolean);
}

async function endSession(app, each, draw) {
  await app.api.delete(`/sessions/${each.id}`);
  await draw();
}
