// The tokens of this tab: in memory and in sessionStorage, so that a reload keeps them and closing the tab ends them.
//
// A refresh token is good once; presented again later, it ends the whole session, because then two hold it. So there
// is one refresh at a time, and a tab that was duplicated shares what it gets with its twin.

const STORE = "docsave.session";
const CHANNEL = "docsave.session";
const EARLY_SECONDS = 30;

export class Session {
  #tokens = null;
  #refreshing = null;
  #again = null;
  #channel = new BroadcastChannel(CHANNEL);

  /**
   * `trade(refreshToken)` gives a new pair, or null when the session is over; it throws when nobody knows.
   * `askAgain()` has the person log in and gives the new pair.
   */
  constructor(trade, askAgain) {
    this.trade = trade;
    this.askAgain = askAgain;
    this.#tokens = JSON.parse(sessionStorage.getItem(STORE) ?? "null");
    this.#channel.onmessage = ({ data }) => {
      if (this.#tokens && data.spent === this.#tokens.refresh) this.#keep(data.tokens);
    };
  }

  get open() {
    return this.#tokens !== null;
  }

  get refreshToken() {
    return this.#tokens?.refresh ?? null;
  }

  /** Use the pair that a log-in gave. */
  begin(pair) {
    this.#keep(tokensOf(pair));
  }

  /** Forget everything. */
  end() {
    this.#tokens = null;
    sessionStorage.removeItem(STORE);
  }

  /** An access token that is still good; waits for a refresh or for the person to log in again. */
  async token() {
    if (!this.#tokens) await this.#logInAgain();
    if (Date.now() > this.#tokens.until - EARLY_SECONDS * 1000) await this.renew(this.#tokens.access);
    return this.#tokens.access;
  }

  /** `refused` is not good any more: see to it that there is another one. */
  async renew(refused) {
    if (this.#tokens && this.#tokens.access !== refused) return;
    this.#refreshing ??= this.#refresh(refused).finally(() => {
      this.#refreshing = null;
    });
    await this.#refreshing;
  }

  async #refresh(refused) {
    await alone(async () => {
      if (!this.#tokens || this.#tokens.access !== refused) return; // the twin was faster
      const spent = this.#tokens.refresh;
      const pair = await this.trade(spent);
      if (pair === null) {
        this.end();
      } else if (this.#tokens) {
        const tokens = tokensOf(pair);
        this.#keep(tokens);
        this.#channel.postMessage({ spent, tokens });
      }
    });
    if (!this.#tokens) await this.#logInAgain();
  }

  /** One log-in for all who wait for it. */
  async #logInAgain() {
    this.#again ??= this.askAgain().finally(() => {
      this.#again = null;
    });
    const pair = await this.#again;
    if (!this.#tokens) this.begin(pair);
  }

  #keep(tokens) {
    this.#tokens = tokens;
    sessionStorage.setItem(STORE, JSON.stringify(tokens));
  }
}

function tokensOf(pair) {
  return { access: pair.access_token, refresh: pair.refresh_token, until: Date.now() + pair.expires_in * 1000 };
}

/** Beside no other tab that does the same. Locks need https or this machine; without them the server's patience with
 * a refresh token that comes twice within seconds has to do. */
function alone(task) {
  return navigator.locks ? navigator.locks.request("docsave.refresh", task) : task();
}
