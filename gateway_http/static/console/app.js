// The console: who is logged in, which view is shown, and what surrounds it.

import { accountView } from "./account.js";
import { auditView } from "./admin/audit.js";
import { systemView } from "./admin/system.js";
import { usersView } from "./admin/users.js";
import { announcements, attempt, note, textOf } from "./announce.js";
import { Api, send } from "./api.js";
import { button, h } from "./dom.js";
import { filesView } from "./files.js";
import { LANGUAGES, chooseLanguage, currentLanguage, said, startLanguage, t } from "./i18n.js";
import { Live } from "./live.js";
import { logInAgain, loginPage } from "./login.js";
import { closeMenu } from "./menu.js";
import { Session } from "./session.js";
import { trashView } from "./trash.js";
import { Uploads } from "./upload.js";
import { uploadPanel } from "./upload_panel.js";
import { webhooksView } from "./webhooks.js";

const VIEWS = { files: filesView, trash: trashView, webhooks: webhooksView, account: accountView };
const ADMIN_VIEWS = { users: usersView, audit: auditView, system: systemView };

const app = {
  settings: null,
  user: null,
  session: null,
  api: null,
  live: null,
  uploads: null,
  setUser(user) {
    app.user = user;
    document.querySelector("#who").textContent = user.name;
  },
};
let shown = null; // the view
let wanted = 0; // counts what was asked for: a slow view never replaces a later one

async function start() {
  startLanguage();
  app.settings = await send("GET", "/console/settings");
  app.session = new Session(trade, askAgain);
  app.api = new Api(app.session);
  app.uploads = new Uploads(app.session);
  addEventListener("hashchange", () => app.user && show(true));
  addEventListener("click", (event) => event.target.closest(".menu, .menu-button") || closeMenu());
  addEventListener("beforeunload", (event) => app.uploads.active.length && event.preventDefault());
  // A file that misses the list would be opened instead of the console.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  await (app.session.open ? enter() : showLogin());
}

async function trade(refreshToken) {
  try {
    return await send("POST", "/token/refresh", { json: { refresh_token: refreshToken } });
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

async function askAgain() {
  if (!app.user) {
    // The tab was reloaded with a session that is over: there is nothing to keep.
    await showLogin();
    return new Promise(() => {});
  }
  const pair = await logInAgain(app.user.login);
  const now = await send("GET", "/users/me", { headers: { Authorization: `Bearer ${pair.access_token}` } });
  if (now.id !== app.user.id) {
    app.session.begin(pair);
    location.reload(); // somebody else: nothing of the one before stays
    return new Promise(() => {});
  }
  return pair;
}

function showLogin() {
  const page = loginPage(app.settings, async (pair) => {
    app.session.begin(pair);
    await enter();
  });
  document.title = `${t("login.title")} – docsave`;
  frame(null, page);
  page.querySelector("input").focus();
}

async function enter() {
  app.user = await app.api.get("/users/me");
  app.live = new Live(app.api, app.session, notifierAddress(app.settings), app.user.role === "admin");
  await app.live.start();
  app.live.addEventListener("webhook", ({ detail: { id, reason } }) => {
    note(t("webhooks.ended", { id: id ?? "", reason: said("webhooks.reason", reason ?? "") }), true);
  });
  frame(navigation(), null);
  await show(false);
}

function notifierAddress({ notifier_url: url, notifier_port: port }) {
  if (url === "/") return location.origin;
  return url ?? `${location.protocol}//${location.hostname}:${port}`;
}

/** Everything around the view. Drawn anew for another language; uploads and connections go on. */
function frame(nav, content) {
  const main = h("main", { id: "main", tabindex: "-1" }, content);
  document.body.replaceChildren(
    h("a", { href: "#main", class: "skip", onclick: skip }, t("skip")),
    h("header", { class: "top" }, h("span", { class: "brand" }, "docsave"), nav, h("div", { class: "right" }, who(), languageChoice())),
    main,
    ...(app.user ? [uploadPanel(app.uploads)] : []),
    ...announcements,
  );
}

function skip(event) {
  event.preventDefault();
  document.querySelector("main h1")?.focus();
}

function who() {
  if (!app.user) return null;
  const state = h("span", { class: "live", role: "status" });
  const draw = () => {
    state.className = `live ${app.live.state}`;
    state.textContent = t(`live.${app.live.state}`);
  };
  app.live.addEventListener("state", draw);
  draw();
  return [state, h("span", { id: "who" }, app.user.name), button(t("login.out"), () => attempt(logOut))];
}

async function logOut() {
  const token = app.session.refreshToken;
  app.session.end();
  if (token) await send("POST", "/logout", { json: { refresh_token: token } }).catch(() => {}); // it is forgotten here
  location.reload(); // and with it everything that was shown
}

function languageChoice() {
  const options = Object.entries(LANGUAGES).map(([code, name]) =>
    h("option", { value: code, lang: code, selected: code === currentLanguage() }, name),
  );
  const select = h("select", { id: "language", "aria-label": t("language") }, options);
  select.addEventListener("change", async () => {
    chooseLanguage(select.value);
    if (app.user) {
      frame(navigation(), null);
      await show(false);
    } else {
      showLogin();
    }
    document.querySelector("#language").focus();
  });
  return select;
}

function navigation() {
  const names = [...Object.keys(VIEWS), ...(app.user.role === "admin" ? Object.keys(ADMIN_VIEWS) : [])];
  const links = names.map((name) => h("li", {}, h("a", { href: `#${name}`, "data-view": name }, t(`${name}.title`))));
  return h("nav", { "aria-label": t("navigation") }, h("ul", {}, links));
}

/** Show the view that the address names. After a step of the person the focus goes to its heading. */
async function show(byPerson) {
  const [name, query] = location.hash.slice(1).split("?");
  const views = app.user.role === "admin" ? { ...VIEWS, ...ADMIN_VIEWS } : VIEWS;
  const known = name in views ? name : "files";
  const number = (wanted += 1);
  let view;
  try {
    view = await views[known](app, new URLSearchParams(query ?? ""));
  } catch (error) {
    if (error.code === undefined) throw error;
    view = failedView(known, error);
  }
  if (number !== wanted) {
    view.stop?.();
    return;
  }
  shown?.stop?.();
  shown = view;
  const heading = h("h1", { tabindex: "-1" }, view.title);
  document.querySelector("main").replaceChildren(heading, view.element);
  document.title = `${view.title} – docsave`;
  for (const link of document.querySelectorAll("nav a[data-view]")) {
    if (link.dataset.view === known) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (byPerson) heading.focus();
}

function failedView(name, error) {
  const again = button(t("again"), () => show(true));
  return { title: t(`${name}.title`), element: h("div", {}, h("p", { class: "problem", role: "alert" }, textOf(error)), again) };
}

start().catch((error) => {
  document.querySelector("main").replaceChildren(h("p", { class: "problem", role: "alert" }, textOf(error)));
});
