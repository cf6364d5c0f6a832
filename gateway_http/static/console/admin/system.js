// How the system is doing, for administrators: every part's health, and how far the backup is.

import { facts, h } from "../dom.js";
import { number, t } from "../i18n.js";

const REFRESH_SECONDS = 5;

export async function systemView(app) {
  const element = h("div", {});
  async function draw() {
    const [ready, backup] = await Promise.all([readiness(), app.api.get("/backup").catch((error) => ({ error }))]);
    element.replaceChildren(healthSection(ready), backupSection(backup));
  }
  await draw();
  const timer = setInterval(() => document.hidden || draw().catch(() => {}), REFRESH_SECONDS * 1000);
  return { title: t("system.title"), element, stop: () => clearInterval(timer) };
}

/** An answer of 503 has the same entries: which part is missing is what one wants to see. */
async function readiness() {
  try {
    const answer = await fetch("/health/ready", { cache: "no-store" });
    return await answer.json();
  } catch {
    return { status: "failed", checks: {} };
  }
}

function healthSection({ status, checks }) {
  const items = Object.entries(checks ?? {}).map(([name, check]) => [
    h("code", {}, name),
    [badge(check.status), check.detail && h("span", { class: "folder" }, check.detail)].filter(Boolean),
  ]);
  return h("section", {}, h("h2", {}, t("system.health"), " ", badge(status)), facts(items));
}

function badge(status) {
  return h("span", { class: `badge ${status === "ok" ? "protected" : "failed"}` }, t(status === "ok" ? "system.ok" : "system.failed"));
}

function backupSection(backup) {
  const title = h("h2", {}, t("system.backup"));
  if (backup.error) return h("section", {}, title, h("p", { class: "problem" }, backup.error.message));
  return h(
    "section",
    {},
    title,
    facts([
      [t("webhooks.state"), [h("code", {}, backup.state), backup.reason && h("span", { class: "folder" }, backup.reason)].filter(Boolean)],
      [t("system.lag"), backup.lag_events === null ? t("system.unknown") : number(backup.lag_events)],
      [t("system.copied"), number(backup.copied)],
      [t("system.waiting"), number(backup.waiting)],
      [t("system.failing"), number(backup.failing_total)],
      [t("system.head"), backup.chain ? h("code", {}, `${backup.chain.size}:${backup.chain.root.slice(0, 16)}…`) : t("system.unknown")],
      ...othersOf(backup),
    ]),
    h("ul", { class: "failing" }, backup.failing.map((each) => h("li", {}, h("code", {}, JSON.stringify(each))))),
  );
}

/** What else the service tells that is one value, by its own name: its operator's manual explains it. */
function othersOf(backup) {
  const known = ["state", "reason", "lag_events", "copied", "waiting", "failing_total", "failing", "chain", "head", "cursor"];
  return Object.entries(backup)
    .filter(([name, value]) => !known.includes(name) && value !== null && typeof value !== "object")
    .map(([name, value]) => [h("code", {}, name), String(value)]);
}
