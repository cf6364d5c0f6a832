// Calls to the API. Every answer that is not 2xx becomes an ApiError with its code.

const RETRIES = 2;

/** What the server says when it does not do what it was asked for. `code` is stable, `detail` is for people. */
export class ApiError extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.code = problem.code ?? "unknown";
    this.errors = problem.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

/** Nothing came back: no network, or nobody there. */
export class Unreachable extends ApiError {
  constructor() {
    super(0, { code: "unreachable", detail: "The server cannot be reached" }, null);
  }
}

export class Api {
  /** `session` may still be null for the calls that need no token. */
  constructor(session = null) {
    this.session = session;
  }

  get(path, query) {
    return this.call("GET", path, { query });
  }

  post(path, json, headers) {
    return this.call("POST", path, { json, headers });
  }

  patch(path, json, headers) {
    return this.call("PATCH", path, { json, headers });
  }

  delete(path, query) {
    return this.call("DELETE", path, { query });
  }

  /** The answer's JSON; null for one without content. A token that ran out meanwhile is replaced first. */
  async call(method, path, { query, json, headers } = {}) {
    for (let tried = 0; ; tried += 1) {
      const token = await this.session.token();
      try {
        return await send(method, path, { query, json, headers: { ...headers, Authorization: `Bearer ${token}` } });
      } catch (error) {
        if (error.status === 401 && tried < RETRIES) await this.session.renew(token);
        else if (method === "GET" && passes(error) && tried < RETRIES) await pause(error.retryAfter ?? 1);
        else throw error;
      }
    }
  }

  /** Every item of a list with pages, at most `most`. */
  async all(path, query = {}, most = 10000) {
    const items = [];
    let after = null;
    do {
      const page = await this.get(path, { ...query, after });
      items.push(...page.items);
      after = page.next ?? null;
    } while (after !== null && items.length < most);
    return items;
  }

  /** Have the browser save what is at `path`: the bytes go from the server to the disk, not through this page. */
  async download(path) {
    const ticket = await this.post("/download-tickets", { path });
    const link = document.createElement("a");
    link.href = ticket.url;
    link.download = "";
    document.body.append(link);
    link.click();
    link.remove();
  }
}

/** One request without a token. */
export async function send(method, path, { query, json, headers } = {}) {
  const options = { method, headers: { ...headers }, cache: "no-store", credentials: "omit", redirect: "error" };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(addressOf(path, query), options);
  } catch {
    throw new Unreachable();
  }
  if (!answer.ok) throw await errorOf(answer);
  return answer.status === 204 ? null : answer.json();
}

/** `path` with those values of `query` that are not null. */
export function addressOf(path, query = {}) {
  const fields = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  return fields.length ? `${path}?${new URLSearchParams(fields)}` : path;
}

async function errorOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  return new ApiError(answer.status, problem, Number(answer.headers.get("Retry-After")) || null);
}

const passes = (error) => error.status === 503;

export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
