// Webhooks: how far behind each is, why the last delivery failed, and what can be done about it.

import { attempt, note } from "./announce.js";
import { button, h, table, time } from "./dom.js";
import { confirmDialog, formDialog, openDialog, showDialog } from "./dialog.js";
import { duration, number, said, t, when } from "./i18n.js";

const TYPES = ["File_create", "File_update", "File_delete"];
const REFRESH_SECONDS = 5;

export async function webhooksView(app) {
  const everybody = app.user.role === "admin";
  const element = h("div", {});
  let shown = "";
  async function draw() {
    const hooks = await app.api.all("/webhooks", { user_id: everybody ? "all" : null });
    const now = JSON.stringify(hooks);
    if (now === shown) return; // what has not changed keeps its focus
    shown = now;
    const focused = document.activeElement?.id;
    element.replaceChildren(
      h("p", {}, t("webhooks.text")),
      hooks.length ? table(t("webhooks.title"), columnsOf(app, draw, everybody), hooks) : h("p", { class: "empty" }, t("webhooks.none")),
      h("p", { class: "buttons start" }, button(t("webhooks.new"), () => newHook(app, draw), { id: "new-webhook" })),
    );
    if (focused) document.getElementById(focused)?.focus();
  }
  await draw();
  const timer = setInterval(() => document.hidden || draw().catch(() => {}), REFRESH_SECONDS * 1000);
  return { title: t("webhooks.title"), element, stop: () => clearInterval(timer) };
}

function columnsOf(app, draw, everybody) {
  const owner = { label: t("files.owner"), cell: (hook) => `#${hook.user_id}` };
  return [
    { label: t("webhooks.url"), class: "name", cell: (hook) => [hook.url, hook.description && h("span", { class: "folder" }, hook.description)].filter(Boolean) },
    ...(everybody ? [owner] : []),
    { label: t("webhooks.state"), cell: (hook) => stateCell(hook) },
    { label: t("webhooks.lag"), class: "size", cell: (hook) => lagCell(hook) },
    { label: t("webhooks.last"), class: "when", cell: (hook) => time(hook.last_at, when(hook.last_at)) },
    { label: t("webhooks.failure"), cell: (hook) => failureCell(hook) },
    { label: t("actions"), class: "actions", cell: (hook) => actionsOf(app, hook, draw) },
  ];
}

function stateCell({ state, reason, failing_since: failing }) {
  const kind = state === "active" ? (failing ? "pending" : "protected") : "failed";
  const text = state === "active" && failing ? t("webhooks.failing") : t(`webhooks.${state}`);
  return [h("span", { class: `badge ${kind}` }, text), reason && h("span", { class: "folder" }, said("webhooks.reason", reason))].filter(Boolean);
}

function lagCell({ lag, lag_seconds: seconds }) {
  return [number(lag), lag > 0 && h("span", { class: "folder" }, t("webhooks.for", { time: duration(seconds) }))].filter(Boolean);
}

/** The last one that failed stays there when others went well since: it may be what somebody looks for. */
function failureCell(hook) {
  if (!hook.failed_at) return "–";
  const tries = hook.retry_at && t("webhooks.retry", { tries: number(hook.tries), at: when(hook.retry_at) });
  return [
    answerText(hook.failed_code, hook.failed_error),
    h("span", { class: "folder" }, time(hook.failed_at, when(hook.failed_at))),
    tries && h("span", { class: "folder" }, tries),
  ].filter(Boolean);
}

function answerText(code, error) {
  return [code && `HTTP ${code}`, error && said("webhooks.error", error)].filter(Boolean).join(": ") || "–";
}

function actionsOf(app, hook, draw) {
  const act = (name, label, run, attributes = {}) =>
    button(
      label,
      () => attempt(async () => {
        await run();
        await draw();
      }),
      { id: `hook-${hook.id}-${name}`, "aria-label": `${label}: ${hook.url}`, ...attributes },
    );
  const path = `/webhooks/${hook.id}`;
  const turn = (state) => () => app.api.patch(path, { state });
  const test = async () => {
    await app.api.post(`${path}/test`);
    note(t("webhooks.tested"));
  };
  return h(
    "div",
    { class: "several" },
    hook.state === "active"
      ? act("turn", t("webhooks.pause"), turn("paused"))
      : act("turn", t("webhooks.resume"), turn("active")),
    act("test", t("webhooks.test"), test),
    act("sent", t("webhooks.deliveries"), () => showDeliveries(app, hook)),
    act("end", t("webhooks.delete"), () => endHook(app, hook), { class: "danger" }),
  );
}

async function newHook(app, draw) {
  const fields = [
    { name: "url", label: t("webhooks.url"), type: "url", required: true, maxlength: 2048 },
    { name: "events", label: t("webhooks.events"), type: "checks", value: TYPES, options: TYPES.map((type) => [type, t(`event.${type}`)]), required: true },
    { name: "folder", label: t("files.folder"), help: t("webhooks.folder_help") },
    { name: "description", label: t("webhooks.description"), maxlength: 255 },
  ];
  const hook = await formDialog(t("webhooks.new"), fields, t("create"), (values) => app.api.post("/webhooks", values));
  if (!hook) return;
  await showDialog(t("webhooks.made"), h("p", {}, t("keys.once")), h("p", {}, h("code", { class: "secret" }, hook.secret)));
  await attempt(draw);
}

async function endHook(app, hook) {
  const sure = await confirmDialog(t("webhooks.delete"), t("webhooks.sure", { url: hook.url }), t("webhooks.delete"));
  if (sure) await app.api.delete(`/webhooks/${hook.id}`);
}

async function showDeliveries(app, hook) {
  const { items } = await app.api.get(`/webhooks/${hook.id}/deliveries`, { limit: 50 });
  const columns = [
    { label: t("history.when"), class: "when", cell: (each) => time(each.updated_at, when(each.updated_at)) },
    { label: t("history.what"), cell: (each) => messageText(each) },
    { label: t("webhooks.state"), cell: (each) => said("webhooks.delivery", each.state) },
    { label: t("webhooks.tries"), class: "size", cell: (each) => number(each.tries) },
    { label: t("webhooks.answer"), cell: (each) => [answerText(each.code, each.error), each.answer && h("span", { class: "folder" }, each.answer)].filter(Boolean) },
  ];
  const content = items.length ? table(t("webhooks.deliveries"), columns, items) : h("p", { class: "empty" }, t("webhooks.nothing_sent"));
  openDialog(t("webhooks.deliveries"), h("div", { class: "scroll", tabindex: "0" }, content), { wide: true });
}

function messageText({ kind, type, event_id: number }) {
  if (kind === "test") return t("webhooks.test_message");
  const change = `${said("event", type)} #${number}`;
  return kind === "redelivery" ? t("webhooks.again", { change }) : change;
}
