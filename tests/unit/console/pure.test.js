// What the console computes without a browser: texts, sizes, languages, and the list that changes are applied to.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FileList, subfolders } from "./file_list.js";
import { bytes, duration, folded, parsedBytes, percent } from "./format.js";
import { preferredLanguage, said } from "./i18n.js";
import { labelsText, parsedLabels } from "./labels.js";
import en from "./words_en.js";
import fr from "./words_fr.js";

const placeholders = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();

const file = (id, values = {}) => ({
  id,
  user_id: 1,
  name: `f${id}`,
  folder: "",
  labels: {},
  size: id,
  version: 1,
  updated_at: "2026-11-24T10:00:00.000Z",
  backup: { state: "protected", version: 1 },
  ...values,
});

const event = (id, version, values = {}) => ({ ...file(id), type: "File_update", at: "2026-11-24T11:00:00.000Z", ...values, version });

const names = (list) => list.items.map((each) => each.name);

const listOf = (files, options, next = null) => {
  const list = new FileList(options);
  list.addPage({ items: files, next });
  return list;
};

test("both languages have the same keys, with the same places in them", () => {
  assert.deepEqual(Object.keys(fr).sort(), Object.keys(en).sort());
  for (const key of Object.keys(en)) assert.deepEqual(placeholders(fr[key]), placeholders(en[key]), key);
  const same = Object.keys(en).filter((key) => fr[key] === en[key]);
  assert.ok(same.length < 30, `not translated: ${same}`);
});

test("the first language that we speak is taken", () => {
  assert.equal(preferredLanguage(null, ["de-DE", "fr-CH", "en"]), "fr");
  assert.equal(preferredLanguage("en", ["fr"]), "en");
  assert.equal(preferredLanguage("xx", ["de"]), "en");
});

test("sizes are short and in the reader's language", () => {
  assert.equal(bytes(0, "en"), "0 bytes");
  assert.equal(bytes(999, "en"), "999 bytes");
  assert.equal(bytes(1000, "en"), "1 kB");
  assert.equal(bytes(999_950, "en"), "1 MB");
  assert.equal(bytes(5_368_709_120, "en"), "5.4 GB");
  assert.equal(bytes(1_500_000, "fr").replace(/\s/g, " "), "1,5 Mo");
});

test("how long something has been waiting is said in one unit", () => {
  assert.equal(duration(0.4, "en"), "0 sec");
  assert.equal(duration(119.9, "en"), "119 sec");
  assert.equal(duration(120, "en"), "2 min");
  assert.equal(duration(7_199, "en"), "119 min");
  assert.equal(duration(7_200, "en"), "2 hr");
  assert.equal(duration(172_800, "en"), "2 days");
  assert.equal(duration(172_800, "fr").replace(/\s/g, " "), "2 j");
});

test("a word of the system's is said in the reader's language, an unknown one as it is", () => {
  assert.equal(said("webhooks.error", "tls_failed"), "certificate not trusted");
  assert.equal(said("webhooks.error", "something new"), "something new");
});

test("labels are typed one a line, and come back as they were", () => {
  assert.deepEqual(parsedLabels("crm.deal=42\n\n  urgent \nwhere = a = b"), { "crm.deal": "42", urgent: "", where: "a = b" });
  assert.deepEqual(parsedLabels(" \n"), {});
  const labels = { "crm.deal": "42", urgent: "", where: " a = b " };
  assert.deepEqual(parsedLabels(labelsText(labels)), labels);
  assert.equal(labelsText(undefined), "");
});

test("a size can be typed in both languages", () => {
  assert.equal(parsedBytes("1.5 GB"), 1_500_000_000);
  assert.equal(parsedBytes("1,5 Go"), 1_500_000_000);
  assert.equal(parsedBytes(" 200 "), 200);
  for (const wrong of ["", "much", "-1", "1e9", "1 XB"]) assert.ok(Number.isNaN(parsedBytes(wrong)), wrong);
});

test("nothing is complete before it is", () => {
  assert.equal(percent(999, 1000, "en"), "99%");
  assert.equal(percent(1000, 1000, "en"), "100%");
  assert.equal(percent(0, 0, "en"), "100%");
});

test("a search does not care about case and accents", () => {
  assert.equal(folded("Été ÉCOLE"), "ete ecole");
});

test("a change that is known or older means nothing", () => {
  const list = listOf([file(1, { version: 3 })]);
  assert.equal(list.apply(event(1, 3, { name: "old" })), null);
  assert.equal(list.apply(event(1, 2, { name: "older" })), null);
  assert.equal(list.apply(event(1, 4, { name: "new" })).kind, "changed");
  assert.deepEqual(names(list), ["new"]);
});

test("a new document stands where the order says", () => {
  const list = listOf([file(1, { name: "a" }), file(2, { name: "Ć" }), file(3, { name: "e" })]);
  const added = list.apply(event(9, 1, { name: "D", type: "File_create" }));
  assert.equal(added.kind, "added");
  assert.equal(added.before.name, "e");
  assert.deepEqual(names(list), ["a", "Ć", "D", "e"]);
  const down = listOf([file(3), file(1)], { sort: "-size" });
  assert.equal(down.apply(event(2, 1, { size: 2 })).before.id, 1);
});

test("what lies beyond the pages that are shown comes with its page", () => {
  const list = listOf([file(1, { name: "a" }), file(2, { name: "b" })], {}, "more");
  assert.equal(list.apply(event(9, 1, { name: "z" })), null);
  assert.equal(list.apply(event(1, 2, { name: "zz" })).kind, "removed");
  list.addPage({ items: [file(9, { name: "z" }), file(1, { name: "zz", version: 2 })], next: null });
  assert.deepEqual(names(list), ["b", "z", "zz"]);
});

test("what is deleted, moved away or somebody else's goes", () => {
  for (const values of [{ type: "File_delete" }, { folder: "x" }, { user_id: 2 }]) {
    const list = listOf([file(1)], { folder: "", userId: 1 });
    assert.equal(list.apply(event(1, 2, values)).kind, "removed", JSON.stringify(values));
    assert.equal(list.items.length, 0);
  }
});

test("the trash is the other way round, and what is removed for good leaves it", () => {
  const list = listOf([], { trash: true, sort: "-updated_at" });
  assert.equal(list.apply(event(1, 2, { type: "File_delete" })).kind, "added");
  assert.equal(list.apply(event(1, 3, { type: "File_delete", permanent: true })).kind, "removed");
  assert.equal(list.apply(event(2, 2, { type: "File_create" })), null);
});

test("a search below a folder takes what is below it and fits", () => {
  const list = listOf([], { folder: "a", recursive: true, search: "Été" });
  assert.equal(list.apply(event(1, 1, { folder: "a/b", name: "en ete.txt" })).kind, "added");
  assert.equal(list.apply(event(2, 1, { folder: "ab", name: "ete" })), null);
  assert.equal(list.apply(event(3, 1, { folder: "a", name: "hiver" })), null);
});

test("a copy protects its version and no later one", () => {
  const list = listOf([file(1, { version: 2, backup: { state: "pending", version: 0 } })]);
  assert.equal(list.protect({ id: 1, version: 1 }).backup.state, "pending");
  assert.equal(list.protect({ id: 1, version: 2 }).backup.state, "protected");
  assert.equal(list.protect({ id: 1, version: 1 }), null);
  assert.equal(list.protect({ id: 7, version: 1 }), null);
});

test("folders are those directly below, with all that lies below them", () => {
  const items = [
    { folder: "", files: 9 },
    { folder: "a", files: 1 },
    { folder: "a/b", files: 2 },
    { folder: "a/b/c", files: 3 },
    { folder: "ab", files: 4 },
  ];
  assert.deepEqual(subfolders(items, ""), [{ name: "a", path: "a", files: 6 }, { name: "ab", path: "ab", files: 4 }]);
  assert.deepEqual(subfolders(items, "a"), [{ name: "b", path: "a/b", files: 5 }]);
});
