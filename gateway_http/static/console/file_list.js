// The documents that a view shows, kept true while changes arrive. Pure: the tests run this in Node.

import { folded } from "./format.js";

const KEYS = {
  name: (file) => folded(file.name),
  size: (file) => file.size,
  updated_at: (file) => file.updated_at,
};

export class FileList {
  /** `sort` as the API takes it; `folder` null for all of them; `userId` null for everybody's documents. */
  constructor({ sort = "name", folder = null, recursive = false, search = "", userId = null, trash = false } = {}) {
    this.sort = sort;
    this.folder = folder;
    this.recursive = recursive;
    this.search = folded(search);
    this.userId = userId;
    this.trash = trash;
    this.items = [];
    this.byId = new Map();
    this.more = null; // the cursor of the next page
  }

  /** The next page. Files that came as changes meanwhile are not shown twice; gives those that are new. */
  addPage(page) {
    this.more = page.next ?? null;
    const fresh = page.items.filter((file) => !this.byId.has(file.id));
    for (const file of fresh) this.byId.set(file.id, file);
    const last = this.items.at(-1);
    this.items.push(...fresh);
    // Only what came as a change can lie out of place: the server sends pages in order.
    if (last && fresh.length && this.#compare(last, fresh[0]) > 0) this.items.sort((a, b) => this.#compare(a, b));
    return fresh;
  }

  /**
   * A change as Socket.IO or the journal tells it. Gives what it means for the view: {kind, file, before}, where kind is
   * "added", "changed" or "removed" and `before` the file that an added or changed one now stands in front of; null
   * when it means nothing. A change that is known already, or older than what is shown, means nothing.
   */
  apply(event) {
    const known = this.byId.get(event.id);
    if (known && event.version <= known.version) return null;
    const belongs = this.#belongs(event);
    if (!known && !belongs) return null;
    if (!belongs) {
      this.#take(known);
      return { kind: "removed", file: known };
    }
    const file = changed(known, event);
    if (known) this.#take(known);
    const at = this.#placeOf(file);
    if (at === this.items.length && this.more !== null) return known ? { kind: "removed", file: known } : null;
    this.items.splice(at, 0, file);
    this.byId.set(file.id, file);
    return { kind: known ? "changed" : "added", file, before: this.items[at + 1] ?? null };
  }

  /** The copy of a version is safe: the file as it is now, null when that changes nothing that is shown. */
  protect({ id, version }) {
    const file = this.byId.get(id);
    if (!file || file.backup.version >= version) return null;
    file.backup = { version, state: version >= file.version ? "protected" : "pending" };
    return file;
  }

  #take(file) {
    this.byId.delete(file.id);
    this.items.splice(this.items.indexOf(file), 1);
  }

  #belongs(event) {
    if (event.permanent || (event.type === "File_delete") !== this.trash) return false;
    if (this.userId !== null && event.user_id !== this.userId) return false;
    if (this.search && !folded(event.name).includes(this.search)) return false;
    if (this.folder === null || event.folder === this.folder) return true;
    return this.recursive && (this.folder === "" || event.folder.startsWith(`${this.folder}/`));
  }

  #placeOf(file) {
    let [low, high] = [0, this.items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#compare(this.items[middle], file) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compare(a, b) {
    const down = this.sort.startsWith("-");
    const key = KEYS[down ? this.sort.slice(1) : this.sort];
    const [x, y] = [key(a), key(b)];
    const order = x < y ? -1 : x > y ? 1 : a.id - b.id;
    return down ? -order : order;
  }
}

function changed(known, event) {
  const safe = known?.backup.version ?? 0;
  return {
    ...known,
    id: event.id,
    user_id: event.user_id,
    name: event.name,
    folder: event.folder ?? "",
    labels: event.labels ?? {},
    size: event.size,
    media_type: event.media_type,
    version: event.version,
    updated_at: event.at,
    deleted_at: event.type === "File_delete" ? event.at : null,
    backup: { version: safe, state: safe >= event.version ? "protected" : "pending" },
  };
}

/** The folders directly below `folder`, with how many documents lie in each and below it, from the API's list. */
export function subfolders(items, folder) {
  const prefix = folder === "" ? "" : `${folder}/`;
  const counts = new Map();
  for (const { folder: path, files } of items) {
    if (path === folder || !path.startsWith(prefix)) continue;
    const name = path.slice(prefix.length).split("/")[0];
    counts.set(name, (counts.get(name) ?? 0) + files);
  }
  return [...counts].map(([name, files]) => ({ name, path: prefix + name, files }));
}
