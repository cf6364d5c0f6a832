"""Lists of files on a real database: what the filters let through, and pages while files come and go."""

import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import event

from docsave_services.contracts import Change, File
from docsave_services.errors import InvalidInput
from docsave_services.files import folder_list, list_texts, lists
from docsave_services.files.filters import FileFilters
from docsave_services.files.folder_list import FolderQuery, list_folders
from docsave_services.files.lists import SORTS, FileQuery, list_files
from docsave_services.times import from_text
from tests.support.documents import Documents


def pages(documents: Documents, limit: int = 3, **asked: Any) -> Iterator[list[File]]:
    """The pages of a list; ``asked`` is what the RPC takes."""
    after = None
    fields = {field: asked.pop(field) for field in ("sort", "deleted") if field in asked}
    user_id = asked.pop("user_id", documents.user_id)
    for _ in range(200):
        query = FileQuery(user_id, limit, after, filters=FileFilters.checked(asked), **fields)
        page = documents.db.read(lambda s, q=query: list_files(s, q))
        yield page["items"]
        after = page["next"]
        if after is None:
            return
    raise AssertionError("the list does not end")


def names(documents: Documents, **asked: Any) -> list[str]:
    """The names in a list, page by page; the same whether few files fit and are looked up, or many and are walked."""
    found = [file["name"] for page in pages(documents, **asked) for file in page]
    with patch.object(lists, "FEW", 0):
        assert [file["name"] for page in pages(documents, **asked) for file in page] == found
    return found


def folders(documents: Documents, under: str = "", limit: int = 1000) -> dict[str, int]:
    found: dict[str, int] = {}
    after = None
    for _ in range(50):
        query = FolderQuery(documents.user_id, under, after, limit)
        page = documents.db.read(lambda s, q=query: list_folders(s, q))
        assert len(page["items"]) <= limit
        assert not found.keys() & {item["folder"] for item in page["items"]}
        found.update({item["folder"]: item["files"] for item in page["items"]})
        after = page["next"]
        if after is None:
            return found
    raise AssertionError("the list does not end")


def save(documents: Documents, name: str, **fields: Any) -> Change:
    content = fields.pop("content", b"x")
    return {**documents.create(name, content), **fields}  # type: ignore[typeddict-item]


def called(folder: str) -> str:
    """The name of the file in it."""
    return "in " + folder.replace("/", "|")


def test_a_folder_is_listed_alone_or_with_all_below(documents: Documents) -> None:
    """The neighbours in the alphabet (``a b``, ``a-c``, ``a0``, ``ab``), other spaces and other cases are others."""
    places = ["", "a", "a/b", "a/b/c", "a b", "a-c", "a.d", "a0", "ab", "A", "a ", "b/a", "ä", "a/ä"]
    documents.apply(*(save(documents, called(place), folder=place) for place in places))
    for place in places:
        assert names(documents, folder=place) == [called(place)]
        below = [p for p in places if place == "" or p == place or p.startswith(place + "/")]
        assert names(documents, folder=place, recursive=True) == [called(p) for p in below]
    assert names(documents, folder="a/b/c/d", recursive=True) == []
    assert len(names(documents)) == len(places)
    for sort in SORTS:
        found = names(documents, folder="a", recursive=True, sort=sort)
        assert sorted(found) == sorted(map(called, ("a", "a/b", "a/b/c", "a/ä")))


def test_labels_must_all_fit(documents: Documents) -> None:
    """By value or by name alone; a value is compared exactly, with its case and its spaces."""
    documents.apply(
        save(documents, "both", labels={"crm.deal": "42", "kind": "offer"}),
        save(documents, "deal", labels={"crm.deal": "42"}),
        save(documents, "space", labels={"crm.deal": "42 "}),
        save(documents, "odd", labels={"crm.deal": "=%_'", "kind": ""}),
        save(documents, "none"),
    )
    assert names(documents, label=["crm.deal=42"]) == ["both", "deal"]
    assert names(documents, label=["crm.deal=42 "]) == ["space"]
    assert names(documents, label=["crm.deal"]) == ["both", "deal", "space", "odd"]
    assert names(documents, label=["crm.deal", "kind=offer"]) == ["both"]
    assert names(documents, label=["kind="]) == ["odd"]
    assert names(documents, label=["crm.deal==%_'"]) == ["odd"]
    assert names(documents, label=["CRM.deal"]) == names(documents, label=["crm"]) == []
    other = documents.new_user()
    documents.apply({**save(documents, "other's", labels={"crm.deal": "42"}), "user_id": other})
    assert names(documents, label=["crm.deal=42"]) == ["both", "deal"]
    assert names(documents, label=["crm.deal=42"], user_id=None) == ["both", "deal", "other's"]


def test_media_types_are_one_or_all_of_a_kind(documents: Documents) -> None:
    """Whatever the case and the parameters."""
    types = ["text/plain", "Text/Plain; charset=utf-8", "text/plainer", "image/png", "image/svg+xml", "image_/png"]
    documents.apply(*(save(documents, t.replace("/", "|"), media_type=t) for t in types))
    assert names(documents, media_type="TEXT/plain") == ["text|plain", "Text|Plain; charset=utf-8"]
    assert names(documents, media_type="image/*") == ["image|png", "image|svg+xml"]
    assert names(documents, media_type="image_/*") == ["image_|png"]
    assert names(documents, media_type="video/*") == []


def test_sizes_and_times_have_their_ends(documents: Documents) -> None:
    """Sizes with both ends; ``after`` with the moment itself, ``before`` without."""
    for size in (0, 1, 5, 6):
        documents.apply(save(documents, str(size), content=b"x" * size))
    assert names(documents, size_min=1, size_max=5) == ["1", "5"]
    assert names(documents, size_max=0) == ["0"]
    assert names(documents, size_min=7) == []
    first, second, third, _ = (file for page in pages(documents) for file in page)
    documents.apply({"op": "update", "by": None, "file_id": first["id"], "name": "renamed"})
    renamed = documents.db.read(lambda s: lists.list_files(s, FileQuery(documents.user_id, 1)))["items"][0]
    moments = [from_text("", f["created_at"]) for f in (first, second, third)]
    for column, moment, name in (("created", second["created_at"], "1"), ("updated", renamed["updated_at"], "renamed")):
        assert name in names(documents, **{f"{column}_after": moment})
        assert name not in names(documents, **{f"{column}_before": moment})
    within = names(documents, created_after=first["created_at"], created_before=third["created_at"])
    assert within == [n for n, at in zip(("renamed", "1", "5"), moments, strict=True) if at < moments[2]]


def test_names_are_found_without_case_and_accents_both_ways(documents: Documents) -> None:
    """Whether the name has them or the search."""
    found = ["Straße 1", "STRASSE 2", "Strässe 3", "strasse 4"]
    documents.apply(*(save(documents, name) for name in [*found, "Stra 5"]))
    for q in ("STRASSE", "straße", "Strasse", "stras\u0301se", "\uff33trasse"):
        assert names(documents, q=q) == found


def test_the_first_look_changes_no_list(documents: Documents) -> None:
    """However far it goes, and however many are few, each list is what sorting and trying all files by hand gives."""
    rng = random.Random(documents.user_id)
    types, blobs = ("text/plain", "image/png"), [documents.blob(b"x" * n) for n in range(3)]
    made = [
        {
            **save(documents, rng.choice("abc") + rng.choice("ab"), media_type=rng.choice(types)),
            "path": rng.choice(blobs),
        }
        for _ in range(24)
    ]
    for start in range(0, len(made), 6):  # files of one batch have the same times
        documents.apply(*made[start : start + 6])  # type: ignore[arg-type]
    files = [file for page in pages(documents) for file in page]
    keys: dict[str, Callable[[Any], Any]] = {key: itemgetter(key, "id") for key in ("size", "created_at", "updated_at")}
    keys |= {"name": itemgetter("name", "id"), "id": itemgetter("id")}
    for sort in (None, *SORTS):
        by = sorted(files, key=keys[(sort or "id").removeprefix("-")], reverse=bool(sort) and sort.startswith("-"))
        for asked in ({"q": "b"}, {"media_type": "image/*"}, {"q": "A", "media_type": "text/plain"}, {"q": "zz"}):
            expected = [file["id"] for file in by if _fits(file, asked)]
            for look, few in itertools.product((0, 1, 7, 1000), (0, 5, 1000)):
                with patch.object(lists, "FIRST_LOOK", look), patch.object(lists, "FEW", few):
                    found = [file["id"] for page in pages(documents, sort=sort, **asked) for file in page]
                assert found == expected, (sort, asked, look, few)


def test_a_look_through_all_files_stops_nobody(documents: Documents) -> None:
    """SQLite reads where Python goes on: what looks through an account, or everybody's, runs in a thread of its own."""
    documents.apply(*(save(documents, f"{n}.txt") for n in range(3)))  # type: ignore[arg-type]
    in_thread: list[bool] = []

    def note(*_: object) -> None:
        in_thread.append(threading.get_native_id() != here)

    here = threading.get_native_id()
    event.listen(documents.db.engine, "before_cursor_execute", note)
    sqlite = documents.db.engine.dialect.name == "sqlite"
    with patch.object(lists, "FIRST_LOOK", 1):
        for user_id, asked in ((documents.user_id, {"q": "2"}), (None, {"q": "2"}), (documents.user_id, {})):
            in_thread.clear()
            assert list(pages(documents, user_id=user_id, **asked))
            assert any(in_thread) == (sqlite and bool(asked))


def _fits(file: File, asked: dict[str, str]) -> bool:
    kind = asked.get("media_type", "").removesuffix("*")
    return asked.get("q", "").lower() in file["name"] and file["media_type"].startswith(kind)


def test_odd_searches_are_text(documents: Documents) -> None:
    """``%``, ``_``, the escape character itself, quotes, marks alone, 255 characters that become 4,590."""
    odd = ["100%", "a_b", "a'b\"", "50~1", "ﷺ" * 255, "x;--", "😀é"]
    documents.apply(*(save(documents, name) for name in [*odd, "1000", "aXb"]))
    assert names(documents, q="0%") == ["100%"]
    assert names(documents, q="_") == ["a_b"]
    assert names(documents, q="'b\"") == ["a'b\""]
    assert names(documents, q="~1") == ["50~1"]
    assert names(documents, q="ﷺ" * 255) == ["ﷺ" * 255]
    assert names(documents, q="😀E") == ["😀é"]
    assert names(documents, q=";--") == ["x;--"]
    assert names(documents, q="%%%%") == names(documents, q="/") == names(documents, q="\t") == []
    assert len(names(documents, q="\u0301")) == len(names(documents, q="")) == 9


def test_a_cursor_of_another_list_is_refused(documents: Documents) -> None:
    """Of another order, filter, user or place: it would skip files without a word."""
    documents.apply(*(save(documents, f"{n}") for n in range(3)))
    query = FileQuery(documents.user_id, 1, sort="name", filters=FileFilters(q="0"))
    asked: dict[str, Any] = {"limit": 1, "sort": "name"}

    def page(after: str | None, **changes: Any) -> Any:
        fields = {**asked, "user_id": documents.user_id, "after": after, **changes}
        return documents.db.read(lambda s: list_files(s, FileQuery(**fields)))

    cursor = page(None)["next"]
    assert [f["name"] for f in page(cursor, limit=2)["items"]] == ["1", "2"]
    others: list[dict[str, Any]] = [
        {"sort": "-name"},
        {"sort": None},
        {"deleted": True},
        {"user_id": None},
        {"filters": FileFilters(q="1")},
        {"filters": FileFilters(folder="")},
        {"filters": query.filters},
    ]
    for changes in others:
        with pytest.raises(InvalidInput):
            page(cursor, **changes)


def test_a_wrong_limit_is_invalid_input(documents: Documents) -> None:
    """Also where it comes over the bus."""
    for limit in (0, 1001, True, "1", None, 1.5):
        with pytest.raises(InvalidInput):
            documents.db.read(lambda s, n=limit: list_files(s, FileQuery(documents.user_id, n)))
        with pytest.raises(InvalidInput):
            documents.db.read(lambda s, n=limit: list_folders(s, FolderQuery(documents.user_id, limit=n)))


def test_folders_are_those_with_files_in_them(documents: Documents) -> None:
    """Counted directly, by name, without the trash and others' files, page by page."""
    places = ["", "", "a", "a/b", "a/b", "a ", "a-b", "b/c/d", "gone", "ä"]
    outcomes = documents.apply(*(save(documents, "x", folder=place) for place in places)).outcomes
    documents.apply({"op": "delete", "by": None, "file_id": outcomes[8]["file"]["id"]})
    documents.apply({**save(documents, "x", folder="other's"), "user_id": documents.new_user()})
    expected = {"": 2, "a": 1, "a ": 1, "a-b": 1, "a/b": 2, "b/c/d": 1, "ä": 1}
    assert folders(documents) == folders(documents, limit=2) == expected
    assert list(folders(documents)) == sorted(expected)
    assert folders(documents, "a") == folders(documents, "a", limit=1) == {"a": 1, "a/b": 2}
    assert folders(documents, "b") == {"b/c/d": 1}
    assert folders(documents, "c") == {}
    assert folder_list.FOLDERS_MAX == 1000
    for under in ("/a", "a/", None, 7):
        with pytest.raises(InvalidInput):
            folders(documents, under)  # type: ignore[arg-type]


def test_several_lists_at_once_are_the_texts_of_each(documents: Documents) -> None:
    """In their order; an error is that list's alone, and equal lists are read once."""
    documents.apply(*(save(documents, name) for name in ("b", "ä", "c")))
    mine = {"user_id": documents.user_id}
    asked: list[dict[str, Any]] = [
        {**mine, "limit": 2, "sort": "-name"},
        {**mine, "limit": 0},
        {**mine, "q": "ä"},
        {**mine, "colour": "red"},
        {**mine, "limit": 2, "sort": "-name"},
    ]
    with patch.object(list_texts, "list_files", wraps=list_files) as read:
        first, none, second, unknown, again = list_texts.list_texts(documents.db, asked)
    assert read.call_count == 3
    [page, found] = [json.loads(answer["page"]) for answer in (first, second)]
    assert [file["name"] for file in page["items"]] == ["c", "b"]
    assert page == documents.db.read(lambda s: list_files(s, list_texts.query_of(asked[0])))
    assert [file["name"] for file in found["items"]] == ["ä"]
    assert again == first
    assert [(answer["ok"], answer["code"], answer["errors"][0]["field"]) for answer in (none, unknown)] == [
        (False, "invalid_input", "limit"),
        (False, "invalid_input", "colour"),
    ]


class Crowd:
    """A user's files: some come, go, change and return between pages, the others keep what the list is sorted by."""

    def __init__(self, documents: Documents, key: str, seed: int) -> None:
        self.documents = documents
        self.key = key
        self.user_id = documents.new_user()
        self._random = random.Random(seed)
        self._blobs = [documents.blob(content) for content in (b"", b"a", b"bb", b"ccc")]
        self._in_trash: list[int] = []
        self._moving = self._new(10)
        self.staying = self._new(13)

    def _new(self, count: int) -> list[int]:
        owner: Change = {"op": "create", "by": None, "user_id": self.user_id}
        pick = self._random.choice
        made = [
            {**owner, "name": pick(["a", "A", "ä", "b", "c ", "c", "z"]), "path": pick(self._blobs)}
            for _ in range(count)
        ]
        return [outcome["file"]["id"] for outcome in self.documents.apply(*made).outcomes]  # type: ignore[arg-type]

    def stir(self) -> None:
        """Some of everything."""
        self._moving += self._new(2)
        gone, removed, rewritten = self._random.sample(self._moving, 3)
        changes: list[dict[str, Any]] = [
            {"op": "delete", "file_id": gone},
            {"op": "remove", "file_id": removed},
            {"op": "update", "file_id": rewritten, "path": self._random.choice(self._blobs)},
        ]
        if self._in_trash:
            changes.append({"op": "restore", "file_id": self._in_trash.pop()})
            self._moving.append(changes[-1]["file_id"])
        if self.key not in ("name", "updated_at"):
            changes.append({"op": "update", "file_id": self._random.choice(self.staying), "name": f"{len(changes)}"})
        outcomes = self.documents.apply(*({"by": None, **change} for change in changes)).outcomes  # type: ignore[typeddict-item]
        assert all(outcome["ok"] for outcome in outcomes)
        self._in_trash.append(gone)
        self._moving = [file_id for file_id in self._moving if file_id not in (gone, removed)]


def test_files_that_stay_are_on_exactly_one_page(documents: Documents) -> None:
    """Whatever is added, changed, deleted, restored and removed between the pages, in every order."""
    for sort in (None, *SORTS):
        seed = random.randrange(10**9)
        crowd = Crowd(documents, (sort or "id").removeprefix("-"), seed)
        seen: list[int] = []
        for page in pages(documents, limit=4, sort=sort, user_id=crowd.user_id):
            seen += [file["id"] for file in page]
            if len(seen) < 100:
                crowd.stir()
        assert sorted(i for i in seen if i in crowd.staying) == sorted(crowd.staying), f"{sort}, seed {seed}"
