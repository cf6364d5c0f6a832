// Changes as they happen, over Socket.IO. The cursor of the last one that was handled is given at each new connection,
// so what happened in between comes first, and nothing is missed or comes twice.

import { io } from "/static/vendor/socket.io-client/socket.io.esm.min.js";

const EVENTS = ["Notify_File_create", "Notify_File_update", "Notify_File_delete"];
const GATHER_MILLISECONDS = 100;
const ACK_SECONDS = 10;
const PAUSE_SECONDS = 2;

/**
 * Events: "changes" with a list of them, "protected" with a list, "state" ("live", "waiting"), "lost" when the place in
 * the journal is not good any more and everything shown must be read again, "back" after a break.
 */
export class Live extends EventTarget {
  #cursor = null;
  #gathered = { changes: [], protected: [] };
  #timer = null;
  #socket = null;

  constructor(api, session, address, isAdmin) {
    super();
    this.api = api;
    this.session = session;
    this.address = address;
    this.greeting = isAdmin ? "Admin_connect" : "User_connect";
    this.state = "waiting";
  }

  /** From this moment on no change is missed, however long the connection takes. */
  async start() {
    this.#cursor = (await this.api.get("/changes", { since: "now", wait: 0 })).cursor;
    this.#socket = io(this.address, { transports: ["websocket", "polling"], tryAllTransports: true, reconnectionDelayMax: 10000 });
    this.#socket.on("connect", () => this.#identify());
    this.#socket.on("disconnect", (reason) => {
      this.#set("waiting");
      if (reason === "io server disconnect") this.#connectSoon(); // the library does not try by itself then
    });
    for (const name of EVENTS) this.#socket.on(name, (event) => this.#heard("changes", event));
    this.#socket.on("Notify_File_protected", (news) => this.#heard("protected", news));
    this.#socket.on("Webhook_disabled", (news) => this.#tell("webhook", news));
  }

  async #identify() {
    try {
      const token = await this.session.token();
      const ack = await this.#socket
        .timeout(ACK_SECONDS * 1000)
        .emitWithAck(this.greeting, { token, since: this.#cursor });
      if (ack.ok) {
        this.#set("live");
        this.#tell("back");
      } else {
        await this.#refused(ack.code, token);
      }
    } catch {
      this.#connectSoon(); // no answer, or nobody to ask for a token: begin anew
    }
  }

  async #refused(code, token) {
    if (code === "cursor_expired") {
      this.#cursor = (await this.api.get("/changes", { since: "now", wait: 0 })).cursor;
      this.#tell("lost");
      await this.#identify();
    } else {
      if (code === "unauthenticated") await this.session.renew(token);
      this.#connectSoon();
    }
  }

  #connectSoon() {
    setTimeout(() => this.#socket.disconnect().connect(), PAUSE_SECONDS * 1000);
  }

  #heard(kind, event) {
    // A relayed event is another program's word: it is shown, but it is not a place in the journal.
    if (kind === "changes" && !event.relayed) this.#cursor = event.cursor;
    if (!event.relayed) this.#gathered[kind].push(event);
    this.#timer ??= setTimeout(() => this.#flush(), GATHER_MILLISECONDS);
  }

  /** Many changes at once are one piece of work for the page. */
  #flush() {
    this.#timer = null;
    const gathered = this.#gathered;
    this.#gathered = { changes: [], protected: [] };
    for (const [kind, events] of Object.entries(gathered)) if (events.length) this.#tell(kind, events);
  }

  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.#tell("state", state);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
