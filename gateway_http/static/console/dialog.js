// Dialogs: the browser's own, so the keyboard stays inside, Escape closes, and the focus goes back to where it was.

import { textOf } from "./announce.js";
import { button, h } from "./dom.js";
import { t } from "./i18n.js";

let fields = 0;

/** A dialog with this content, open. `onclose` is called however it ends. */
export function openDialog(title, content, { onclose, wide = false, closable = true } = {}) {
  const label = `title-${(fields += 1)}`;
  const opener = document.activeElement;
  const dialog = h(
    "dialog",
    { "aria-labelledby": label, class: wide ? "wide" : null },
    h(
      "header",
      {},
      h("h2", { id: label }, title),
      closable && button("×", () => dialog.close(), { class: "plain", "aria-label": t("close") }),
    ),
    content,
  );
  dialog.addEventListener("cancel", (event) => closable || event.preventDefault());
  dialog.addEventListener("close", () => {
    dialog.remove();
    // What opened it may be gone, such as the row of a document that went into the trash.
    if (!opener?.isConnected) document.querySelector("main h1")?.focus();
    onclose?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A question; true when the person wants it done. */
export function confirmDialog(title, text, action) {
  return new Promise((resolve) => {
    let answer = false;
    const choose = (wanted) => () => {
      answer = wanted;
      dialog.close();
    };
    const buttons = h(
      "p",
      { class: "buttons" },
      button(t("cancel"), choose(false)),
      button(action, choose(true), { class: "danger" }),
    );
    const dialog = openDialog(title, h("div", {}, h("p", {}, text), buttons), { onclose: () => resolve(answer) });
  });
}

/** Something to read and to close. */
export function showDialog(title, ...content) {
  return new Promise((resolve) => {
    const close = h("p", { class: "buttons" }, button(t("close"), () => dialog.close(), { class: "main" }));
    const dialog = openDialog(title, h("div", {}, content, close), { onclose: resolve });
  });
}

/**
 * Fields to fill in. `submit(values)` does it; while it fails the dialog stays, says why and marks the field. Gives
 * what `submit` gave, null when the person gave up.
 *
 * A field is {name, label, type?, value?, help?, options?: [[value, label]], required?, autocomplete?, ...attributes};
 * type may also be "select", "lines" for a text of several, or "checks", whose value is a list.
 */
export function formDialog(title, described, action, submit, options = {}) {
  return new Promise((resolve) => {
    let result = null;
    const form = formOf(described, action, async (values) => {
      result = await submit(values);
      dialog.close();
    }, options.closable === false ? null : () => dialog.close());
    form.querySelector("input, select, textarea").setAttribute("autofocus", ""); // else the button that closes would have the focus
    const content = options.text ? h("div", {}, h("p", {}, options.text), form) : form;
    const dialog = openDialog(title, content, { ...options, onclose: () => resolve(result) });
  });
}

/** Such a form by itself. */
export function formOf(described, action, submit, giveUp) {
  const controls = described.map((field) => controlOf(field));
  const problem = h("p", { class: "problem", role: "alert" });
  const send = h("button", { type: "submit", class: "main" }, action);
  const form = h(
    "form",
    { novalidate: true },
    controls.map((control) => control.element),
    problem,
    h("p", { class: "buttons" }, giveUp && button(t("cancel"), giveUp), send),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    problem.textContent = "";
    for (const control of controls) control.mark("");
    const missing = controls.filter((control) => control.missing());
    for (const control of missing) control.mark(t("required"));
    if (missing.length) {
      missing[0].input.focus();
      return;
    }
    send.disabled = true;
    try {
      await submit(Object.fromEntries(controls.map((control) => [control.name, control.value()])));
    } catch (error) {
      if (error.code === undefined) throw error;
      showProblem(error, controls, problem);
    } finally {
      send.disabled = false;
    }
  });
  return form;
}

function showProblem(error, controls, problem) {
  const marked = error.errors?.filter(({ field, message }) => {
    const control = controls.find((each) => each.name === field);
    control?.mark(message);
    return control;
  });
  if (marked?.length) controls.find((control) => control.name === marked[0].field).input.focus();
  else problem.textContent = textOf(error);
}

function controlOf({ name, label, type = "text", value = "", help, options, required, ...attributes }) {
  const id = `field-${(fields += 1)}`;
  const described = `${id}-help`;
  const hint = h("span", { id: described, class: "help" }, help ?? "");
  const shared = { id, name, required, "aria-describedby": described, ...attributes };
  if (type === "checks") return checksOf(name, label, value, options, hint);
  const make = {
    select: () => h("select", shared, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text))),
    lines: () => h("textarea", { rows: 5, ...shared }),
  };
  const input = make[type]?.() ?? h("input", { type, ...shared });
  if (type !== "select") input.value = value;
  return {
    name,
    input,
    element: h("div", { class: "field" }, h("label", { for: id }, label), input, hint),
    value: () => input.value,
    missing: () => Boolean(required) && input.value === "",
    mark(message) {
      hint.textContent = message || help || "";
      hint.classList.toggle("wrong", Boolean(message));
      if (message) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
}

function checksOf(name, label, value, options, hint) {
  const boxes = options.map(([key, text]) => {
    const box = h("input", { type: "checkbox", name, value: key, checked: value.includes(key) });
    return [box, h("label", {}, box, " ", text)];
  });
  return {
    name,
    input: boxes[0][0],
    element: h("fieldset", { class: "field" }, h("legend", {}, label), boxes.map(([, text]) => text), hint),
    value: () => boxes.filter(([box]) => box.checked).map(([box]) => box.value),
    missing: () => boxes.every(([box]) => !box.checked),
    mark(message) {
      hint.textContent = message;
      hint.classList.toggle("wrong", Boolean(message));
    },
  };
}
