"""The journal as of one of its places, and files then beside now, on both databases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from docsave_services.contracts import Change, StoredFile
from docsave_services.db import journal
from docsave_services.db.models import FileEventRow
from docsave_services.errors import CursorExpired, InvalidInput, NotFound
from docsave_services.files import places as places_module
from docsave_services.files.compared import CompareQuery, compare
from docsave_services.files.past import PastQuery, list_past, past_file
from docsave_services.files.places import place_of
from docsave_services.files.queries import get_file
from tests.support.documents import Documents

on_sqlite = pytest.mark.parametrize("database_uri", ["sqlite"], indirect=True)
"""For what does not depend on the database: one in MariaDB takes long to make."""


def change(documents: Documents, op: Any, file_id: int, **wanted: Any) -> StoredFile:
    [outcome] = documents.apply({"op": op, "by": 1, "file_id": file_id, **wanted}).outcomes
    assert outcome["ok"], outcome
    return outcome["file"]


def create(documents: Documents, name: str, content: bytes = b"one", **wanted: Any) -> StoredFile:
    given: Change = {**documents.create(name, content), **wanted}  # type: ignore[typeddict-item]
    [outcome] = documents.apply(given).outcomes
    return outcome["file"]


def here(documents: Documents) -> str:
    """The cursor of now."""
    return str(documents.db.read(journal.head))


def set_times(documents: Documents, times: Iterable[tuple[int, str]]) -> None:
    """Give entries of the journal other times, as clocks that were set would have."""
    with documents.db.engine.begin() as connection:
        for event_id, text in times:
            at = datetime.fromisoformat(text).astimezone(UTC)
            connection.execute(update(FileEventRow).where(FileEventRow.event_id == event_id).values(at=at))


def names(documents: Documents, at: str, **query: Any) -> list[str]:
    """The names of the first account's files then."""
    return [f["name"] for f in list_past(documents.db, PastQuery(at, documents.user_id, **query))["items"]]


def test_the_list_is_as_it_was_at_each_cursor(documents: Documents) -> None:
    """Names, places and the trash as of every place in the journal; a removed file is there until its removal."""
    a = create(documents, "a.txt", folder="x")
    first = here(documents)
    b = create(documents, "b.txt")
    change(documents, "update", a["id"], name="A.txt", folder="x/y")
    second = here(documents)
    change(documents, "delete", b["id"])
    third = here(documents)
    change(documents, "remove", b["id"])
    fourth = here(documents)
    assert [names(documents, at) for at in (first, second, third, fourth)] == [
        ["a.txt"],
        ["A.txt", "b.txt"],
        ["A.txt"],
        ["A.txt"],
    ]
    assert [names(documents, at, deleted=True) for at in (second, third, fourth)] == [[], ["b.txt"], []]
    assert names(documents, first, folder="x") == ["a.txt"]
    assert names(documents, second, folder="x") == []
    assert names(documents, second, folder="x", recursive=True) == ["A.txt"]
    assert names(documents, second.partition(":")[0] + ":0") == []


@on_sqlite
def test_a_file_then_has_all_that_it_had(documents: Documents) -> None:
    """The same as the file's metadata was, but for the state of its backup; 404 outside of its life."""
    a = create(documents, "a.txt", labels={"crm": "7"})
    first = here(documents)
    before = documents.db.read(lambda s: get_file(s, a["id"]))
    change(documents, "update", a["id"], path=documents.blob(b"two"), labels={})
    second = here(documents)
    change(documents, "delete", a["id"])
    third = here(documents)
    assert past_file(documents.db, a["id"], first) == before
    assert past_file(documents.db, a["id"], second)["version"] == 2
    assert past_file(documents.db, a["id"], second)["created_at"] == before["created_at"]
    for at in (third, first.partition(":")[0] + ":0"):
        with pytest.raises(NotFound):
            past_file(documents.db, a["id"], at)
    with pytest.raises(NotFound):
        past_file(documents.db, 10**6, third)


def test_a_moment_is_the_last_entry_that_says_it_was_made_by_then(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks set back and forth never hide a change that says it was made by then, and order stays the journal's."""
    monkeypatch.setattr(places_module, "PLACE_SCAN", 2)
    for number in range(6):
        create(documents, f"{number}.txt")
    hours = [10, 11, 20, 12, 11, 13]  # the third by a clock that was ahead, the fifth by one that was behind
    set_times(documents, [(n + 1, f"2026-01-01T{hour:02}:00:00Z") for n, hour in enumerate(hours)])
    places = {hour: place_of(documents.db, f"2026-01-01T{hour:02}:00:00Z").event_id for hour in range(9, 21)}
    assert places == {9: 0, 10: 1, 11: 5, 12: 5, **dict.fromkeys(range(13, 21), 6)}
    assert place_of(documents.db, "2026-01-01T10:59:59.999Z").event_id == 1
    assert place_of(documents.db, "2026-01-01T12:00:00+02:00").event_id == 1
    assert place_of(documents.db, "2026-01-01T10:00Z").event_id == 1  # as people type it


@on_sqlite
def test_places_that_cannot_be_are_refused(documents: Documents) -> None:
    """Another journal's cursor and one from the future are expired; what is neither cursor nor time is invalid."""
    create(documents, "a.txt")
    epoch, _, last = here(documents).partition(":")
    for at in (f"{epoch}:{int(last) + 1}", f"11111111-2222-4333-8444-555555555555:{last}"):
        with pytest.raises(CursorExpired):
            place_of(documents.db, at)
    for at in ("yesterday", "2026-01-01", "2026-01-01T10:00", "", None):
        with pytest.raises(InvalidInput):
            place_of(documents.db, at)  # type: ignore[arg-type]


@on_sqlite
def test_pages_stay_at_the_place_of_the_first(documents: Documents) -> None:
    """Later pages of "now" do not show what came since; a cursor of another list is refused."""
    for number in range(5):
        create(documents, f"{number}.txt")
    other = documents.new_user()
    documents.apply(documents.create("other.txt", user_id=other))
    later = "2100-01-01T00:00:00Z"
    page = list_past(documents.db, PastQuery(later, documents.user_id, limit=2))
    create(documents, "new.txt")
    seen = [f["name"] for f in page["items"]]
    while page["next"]:
        page = list_past(documents.db, PastQuery(later, documents.user_id, limit=2, after=page["next"]))
        seen += [f["name"] for f in page["items"]]
    assert seen == [f"{n}.txt" for n in range(5)]
    everybody = list_past(documents.db, PastQuery(later, None, limit=3))
    assert everybody["next"]
    with pytest.raises(InvalidInput):
        list_past(documents.db, PastQuery(later, documents.user_id, after=everybody["next"]))


def test_comparing_says_what_is_new_gone_and_other(documents: Documents) -> None:
    """Each file once, by id: changed, in the trash, removed for good, made since; what was gone then is left out."""
    files = {name: create(documents, name, folder="f") for name in ("same", "changed", "trashed", "removed", "gone")}
    change(documents, "remove", files["gone"]["id"])
    at = here(documents)
    change(documents, "update", files["changed"]["id"], name="other")
    change(documents, "delete", files["trashed"]["id"])
    change(documents, "remove", files["removed"]["id"])
    new = create(documents, "new")
    found = {c["id"]: c for c in compare(documents.db, CompareQuery(at, documents.user_id, limit=10))["items"]}
    assert list(found) == [files[n]["id"] for n in ("same", "changed", "trashed", "removed")] + [new["id"]]
    changed, trashed, removed = (found[files[n]["id"]] for n in ("changed", "trashed", "removed"))
    assert (changed["then"]["name"], changed["now"]["name"]) == ("changed", "other")  # type: ignore[index]
    assert trashed["now"]["deleted_at"]  # type: ignore[index]
    assert removed["now"] is None
    assert removed["recreation_key"]
    assert found[new["id"]]["then"] is None
    in_folder = compare(documents.db, CompareQuery(at, documents.user_id, folder="f"))["items"]
    assert new["id"] not in {c["id"] for c in in_folder}
    paged = compare(documents.db, CompareQuery(at, documents.user_id, limit=2))
    assert len(paged["items"]) == 2
    assert compare(documents.db, CompareQuery(at, documents.user_id, limit=2, after=paged["next"]))["items"]


@on_sqlite
def test_a_removed_file_has_one_successor(documents: Documents) -> None:
    """Made anew under the key, it is found in the removed one's place, and its own successor after that."""
    lost = create(documents, "lost")
    at = here(documents)
    change(documents, "remove", lost["id"])
    ids = []
    for _ in range(2):
        [compared] = compare(documents.db, CompareQuery(at, file_id=lost["id"]))["items"]
        heir = create(documents, "lost", change_key=compared["recreation_key"])
        ids.append(heir["id"])
        [compared] = compare(documents.db, CompareQuery(at, file_id=lost["id"]))["items"]
        assert compared["now"]["id"] == heir["id"]  # type: ignore[index]
        [newer] = compare(documents.db, CompareQuery(at, file_id=heir["id"]))["items"]
        assert newer["made_by_restoring"]
        change(documents, "remove", heir["id"])
    assert len(set(ids)) == 2
