// Uploads: several at once, in pieces (tus 1.0.0), each with its progress. A piece that breaks off is taken up again
// where the server's disk has it, after a lost connection, a restart of the server or a new log-in alike.

import { ApiError, Unreachable, pause } from "./api.js";

const AT_ONCE = 3;
const PIECE_BYTES = 64 * 1024 * 1024;
const STALL_SECONDS = 45;
const TRIES = 40;
const PAUSE_SECONDS_MAX = 15;
const SHOWN_SECONDS = 10;
const VERSION = { "Tus-Resumable": "1.0.0" };

let numbers = 0;

/** One document on its way. `state`: waiting, sending, retrying, done, failed, cancelled. */
class Upload {
  constructor(file, folder) {
    this.id = (numbers += 1);
    this.file = file;
    this.name = file.name;
    this.folder = folder;
    this.total = file.size;
    this.sent = 0;
    this.state = "waiting";
    this.location = null;
    this.fileId = null;
    this.error = null;
    this.abort = new AbortController();
  }

  get over() {
    return ["done", "failed", "cancelled"].includes(this.state);
  }
}

/** Event: "change" with the upload that changed. */
export class Uploads extends EventTarget {
  constructor(session) {
    super();
    this.session = session;
    this.items = [];
  }

  get active() {
    return this.items.filter((upload) => !upload.over);
  }

  add(file, folder) {
    const upload = new Upload(file, folder);
    this.items.push(upload);
    this.#changed(upload);
    this.#next();
    return upload;
  }

  cancel(upload) {
    if (upload.over) return;
    upload.state = "cancelled";
    upload.abort.abort();
    if (upload.location) this.#request(upload, "DELETE", upload.location, {}).catch(() => {}); // it runs out by itself
    this.#changed(upload);
  }

  /** Try one that failed once more. */
  again(upload) {
    Object.assign(upload, { state: "waiting", error: null });
    this.#changed(upload);
    this.#next();
  }

  /** Forget those that are over. */
  clear() {
    this.items = this.active;
    this.#changed(null);
  }

  #forget(upload) {
    this.items = this.items.filter((each) => each !== upload);
    this.#changed(null);
  }

  #next() {
    const under = this.items.filter((upload) => upload.state === "sending" || upload.state === "retrying").length;
    for (const upload of this.items.filter((each) => each.state === "waiting").slice(0, Math.max(AT_ONCE - under, 0))) {
      this.#run(upload);
    }
  }

  async #run(upload) {
    upload.state = "sending";
    this.#changed(upload);
    try {
      await this.#sendAll(upload);
      if (upload.over) return;
      upload.state = "done";
      setTimeout(() => this.#forget(upload), SHOWN_SECONDS * 1000);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!upload.over) Object.assign(upload, { state: "failed", error });
    } finally {
      this.#changed(upload);
      this.#next();
    }
  }

  async #sendAll(upload) {
    for (let failures = 0; !upload.over && upload.fileId === null; ) {
      try {
        if (!upload.location) await this.#create(upload);
        else if (failures) await this.#look(upload);
        if (upload.fileId === null) await this.#sendPiece(upload);
        failures = 0;
      } catch (error) {
        if (upload.over) return;
        failures += 1;
        if (failures > TRIES || !passes(error)) throw error;
        if (!(await isReadable(upload.file))) throw new ApiError(0, { code: "unreadable" }, null);
        if (error.status === 404 || error.status === 410) upload.location = null; // it ran out: from the start
        upload.state = "retrying";
        this.#changed(upload);
        await pauseOrOnline(Math.min(2 ** failures / 2, PAUSE_SECONDS_MAX));
      }
    }
  }

  async #create(upload) {
    upload.sent = 0;
    const metadata = Object.entries({ filename: upload.name, folder: upload.folder })
      .filter(([, value]) => value !== "")
      .map(([key, value]) => `${key} ${inBase64(value)}`);
    const answer = await this.#request(upload, "POST", "/uploads", {
      "Upload-Length": String(upload.total),
      "Upload-Metadata": metadata.join(","),
    });
    upload.location = answer.getResponseHeader("Location");
    this.#learn(upload, answer);
  }

  async #look(upload) {
    this.#learn(upload, await this.#request(upload, "HEAD", upload.location, {}));
  }

  async #sendPiece(upload) {
    const offset = upload.sent;
    upload.state = "sending";
    const piece = upload.file.slice(offset, offset + PIECE_BYTES);
    const headers = { "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
    const onprogress = (event) => {
      upload.sent = Math.min(offset + event.loaded, upload.total);
      this.#changed(upload);
    };
    this.#learn(upload, await this.#request(upload, "PATCH", upload.location, headers, piece, onprogress));
  }

  #learn(upload, answer) {
    upload.sent = Number(answer.getResponseHeader("Upload-Offset") ?? upload.sent);
    upload.fileId = answer.getResponseHeader("Docsave-File-Id");
    this.#changed(upload);
  }

  async #request(upload, method, path, headers, body = null, onprogress = null) {
    for (let tried = 0; ; tried += 1) {
      const token = await this.session.token();
      try {
        const all = { ...VERSION, ...headers, Authorization: `Bearer ${token}` };
        return await exchange(method, path, all, body, onprogress, method === "DELETE" ? null : upload.abort.signal);
      } catch (error) {
        if (error.status !== 401 || tried > 2) throw error;
        await this.session.renew(token);
      }
    }
  }

  #changed(upload) {
    this.dispatchEvent(new CustomEvent("change", { detail: upload }));
  }
}

/** One request; fetch cannot tell how much was sent. */
function exchange(method, path, headers, body, onprogress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let timer = null;
    const stillAlive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => request.abort(), STALL_SECONDS * 1000);
    };
    const fail = (error) => {
      clearTimeout(timer);
      reject(error);
    };
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      stillAlive();
      onprogress?.(event);
    };
    request.onload = () => {
      clearTimeout(timer);
      if (request.status >= 200 && request.status < 300) resolve(request);
      else fail(errorOf(request));
    };
    request.onerror = () => fail(new Unreachable());
    request.onabort = () => fail(new Unreachable());
    if (signal?.aborted) return fail(new Unreachable());
    signal?.addEventListener("abort", () => request.abort());
    stillAlive();
    request.send(body);
    return undefined;
  });
}

function errorOf(request) {
  let problem = {};
  try {
    problem = JSON.parse(request.responseText);
  } catch {
    // A proxy's own page: the status has to do.
  }
  return new ApiError(request.status, problem, null);
}

/** Whether trying again may help: the connection, a service, or an upload that is not as far as we believe. */
function passes(error) {
  if (error.code === "too_many_uploads") return false;
  return error.status === 0 || error.status >= 500 || [404, 408, 409, 410, 423, 429, 460].includes(error.status);
}

/** Whether the file is still there and as it was when it was chosen; a browser tells no other way. */
function isReadable(file) {
  return file.slice(0, 1).arrayBuffer().then(() => true, () => false);
}

function pauseOrOnline(seconds) {
  const online = new Promise((resolve) => addEventListener("online", resolve, { once: true }));
  return Promise.race([pause(seconds), online]);
}

function inBase64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** What was dropped, with the folders that directories stand for: [file, folder] each, below `folder`. */
export async function droppedFiles(transfer, folder) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => [file, folder]);
  const found = await Promise.all(entries.map((entry) => filesBelow(entry, folder)));
  return found.flat();
}

async function filesBelow(entry, folder) {
  if (entry.isFile) return [[await new Promise((resolve, reject) => entry.file(resolve, reject)), folder]];
  const below = folder ? `${folder}/${entry.name}` : entry.name;
  const reader = entry.createReader();
  const found = [];
  // A browser gives a directory in parts of a hundred.
  for (let part; (part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length; ) {
    for (const child of part) found.push(...(await filesBelow(child, below)));
  }
  return found;
}
