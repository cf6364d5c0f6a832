// Logging in: as the first thing, or again over whatever was open when the session ended.

import { send } from "./api.js";
import { h } from "./dom.js";
import { formDialog, formOf } from "./dialog.js";
import { t } from "./i18n.js";

const fields = (login) => [
  { name: "login", label: t("login.login"), value: login, required: true, autocomplete: "username", autocapitalize: "none", spellcheck: "false" },
  { name: "password", label: t("login.password"), type: "password", required: true, autocomplete: "current-password" },
];

const logIn = ({ login, password }) => send("POST", "/login", { json: { login, password } });

/** The page for those who are not logged in. `done(pair)` goes on. */
export function loginPage(settings, done) {
  const form = formOf(fields(""), t("login.action"), async (values) => done(await logIn(values)));
  const register = settings.registration === "open" && h("p", {}, t("login.new"), " ", registerButton(done));
  return h("div", { class: "login" }, h("h1", { tabindex: "-1" }, t("login.title")), form, register);
}

function registerButton(done) {
  const register = async () => {
    const described = [
      { name: "login", label: t("login.login"), required: true, maxlength: 190, autocomplete: "username", autocapitalize: "none" },
      { name: "password", label: t("login.password"), type: "password", required: true, autocomplete: "new-password", help: t("account.rules") },
    ];
    const pair = await formDialog(t("login.register"), described, t("create"), async (values) => {
      await send("POST", "/users", { json: values });
      return logIn(values);
    });
    if (pair) await done(pair);
  };
  return h("button", { type: "button", onclick: register }, t("login.register"));
}

/** The session is over: ask again, above everything that is open, so that nothing of it is lost. */
export function logInAgain(login) {
  return formDialog(t("login.again"), fields(login), t("login.action"), logIn, { closable: false, text: t("login.over") });
}
