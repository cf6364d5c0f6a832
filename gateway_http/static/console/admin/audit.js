// The audit trail, for administrators: who did what, newest first.

import { attempt } from "../announce.js";
import { button, h, table, tableRow, time } from "../dom.js";
import { t, when } from "../i18n.js";

const PAGE = 100;

export async function auditView(app) {
  const logins = new Map((await app.api.all("/users", { limit: 1000 })).map((user) => [user.id, user.login]));
  const columns = columnsOf(logins);
  const place = h("div", {});
  const action = h("input", { id: "action", maxlength: 64, autocomplete: "off", spellcheck: "false" });
  async function load() {
    const query = { limit: PAGE, action: action.value.trim() || null };
    const page = await app.api.get("/audit", query);
    const listed = table(t("audit.title"), columns, page.items);
    let after = page.next;
    const more = button(t("files.more"), () => attempt(next), { hidden: after === null });
    async function next() {
      const following = await app.api.get("/audit", { ...query, after });
      listed.tBodies[0].append(...following.items.map((item) => tableRow(columns, item)));
      after = following.next;
      more.hidden = after === null;
    }
    place.replaceChildren(page.items.length ? listed : h("p", { class: "empty" }, t("audit.none")), h("p", { class: "foot" }, more));
  }
  const form = h(
    "form",
    { class: "toolbar", role: "search" },
    h("label", { for: "action" }, t("audit.action")),
    action,
    h("button", { type: "submit" }, t("audit.show")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(load);
  });
  await load();
  return { title: t("audit.title"), element: h("div", {}, form, place) };
}

function columnsOf(logins) {
  const who = (id) => (id === null ? "–" : (logins.get(id) ?? `#${id}`));
  return [
    { label: t("history.when"), class: "when", cell: (row) => time(row.at, when(row.at)) },
    { label: t("audit.action"), cell: (row) => h("code", {}, row.action) },
    { label: t("audit.account"), cell: (row) => who(row.user_id) },
    { label: t("audit.by"), cell: (row) => who(row.by) },
    { label: t("sessions.address"), cell: (row) => row.address ?? "–" },
    { label: t("audit.detail"), class: "name", cell: (row) => detailOf(row) },
  ];
}

function detailOf({ detail, key_id: key }) {
  const values = detail && typeof detail === "object" ? Object.entries(detail).map(([k, v]) => `${k}: ${JSON.stringify(v)}`) : [detail];
  return [...values, key && `key ${key}`].filter(Boolean).join(", ") || "–";
}
