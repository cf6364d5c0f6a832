// The uploads of this tab, wherever in the console one is.

import { say, textOf } from "./announce.js";
import { button, h } from "./dom.js";
import { bytes, percent, t, tn } from "./i18n.js";

const SAY_EVERY_MILLISECONDS = 5000;

/** An element that shows `uploads` and keeps itself up to date. */
export function uploadPanel(uploads) {
  const rows = new Map();
  const list = h("ul", {});
  const title = h("h2", {});
  const clear = button(t("uploads.clear"), () => uploads.clear(), { class: "plain" });
  const panel = h(
    "section",
    { class: "uploads", "aria-label": t("uploads.title"), hidden: true },
    h("header", {}, title, clear),
    list,
  );
  let said = 0;
  let waiting = false;

  function draw() {
    waiting = false;
    panel.hidden = uploads.items.length === 0;
    const active = uploads.active.length;
    clear.hidden = active === uploads.items.length;
    title.textContent = active ? tn("uploads.active", active) : t("uploads.over");
    for (const [id, row] of rows) {
      if (!uploads.items.some((upload) => upload.id === id)) {
        row.element.remove();
        rows.delete(id);
      }
    }
    for (const upload of uploads.items) {
      if (!rows.has(upload.id)) {
        rows.set(upload.id, rowOf(uploads, upload));
        list.append(rows.get(upload.id).element);
      }
      rows.get(upload.id).update();
    }
  }

  uploads.addEventListener("change", ({ detail: upload }) => {
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(draw);
    }
    if (upload?.over) say(t(`upload.said.${upload.state}`, { name: upload.name }));
    else if (upload?.state === "sending" && upload.sent && Date.now() - said > SAY_EVERY_MILLISECONDS) {
      said = Date.now();
      say(t("upload.said.progress", { name: upload.name, percent: percent(upload.sent, upload.total) }));
    }
  });
  draw();
  return panel;
}

function rowOf(uploads, upload) {
  const bar = h("progress", { max: Math.max(upload.total, 1), value: 0, "aria-label": t("upload.of", { name: upload.name }) });
  const state = h("span", { class: "state" });
  const cancel = button(t("cancel"), () => uploads.cancel(upload), { "aria-label": t("upload.cancel", { name: upload.name }) });
  const again = button(t("again"), () => uploads.again(upload), { "aria-label": t("upload.again", { name: upload.name }) });
  const element = h("li", {}, h("span", { class: "name" }, upload.name), bar, state, cancel, again);
  return {
    element,
    update() {
      bar.value = upload.state === "done" ? bar.max : upload.sent;
      state.textContent = stateOf(upload);
      element.className = upload.state;
      cancel.hidden = upload.over;
      again.hidden = upload.state !== "failed";
    },
  };
}

function stateOf(upload) {
  if (upload.state === "failed") return textOf(upload.error);
  if (upload.state !== "sending") return t(`upload.${upload.state}`);
  return t("upload.sending", {
    percent: percent(upload.sent, upload.total),
    sent: bytes(upload.sent),
    total: bytes(upload.total),
  });
}
