"""Changes of files on a real database: one transaction a batch, one outcome a change, one journal entry a change."""

import subprocess
import sys
import uuid

import eventlet
import pytest

from docsave_services.contracts import Change
from docsave_services.db import journal
from docsave_services.errors import CursorExpired, InvalidInput, NotFound
from docsave_services.files import queries
from docsave_services.files.changes import apply_changes
from docsave_services.files.lists import SORTS, FileQuery, list_files
from docsave_services.files.protection import mark_protected
from docsave_services.files.rows import name_key
from tests.support.documents import Documents


def feed(documents: Documents, since: str | None = None, user_id: int | None = None) -> list[dict]:
    return documents.db.read(lambda s: journal.read(s, since, 1000, user_id))["items"]


def update(file_id: int, **fields: object) -> Change:
    return {"op": "update", "by": None, "file_id": file_id, **fields}


def test_a_file_lives_through_its_versions(documents: Documents) -> None:
    """Create, rewrite, rename, delete: versions 1 to 4, four entries, in order."""
    file = documents.apply(documents.create()).outcomes[0]["file"]
    assert file["version"] == 1
    assert file["backup"] == {"state": "pending", "version": 0}
    rewritten = documents.apply(update(file["id"], path=documents.blob(b"two"))).outcomes[0]["file"]
    renamed = documents.apply(update(file["id"], name="b.txt")).outcomes[0]["file"]
    deleted = documents.apply({"op": "delete", "by": documents.user_id, "file_id": file["id"]}).outcomes[0]["file"]
    assert [rewritten["version"], renamed["version"], deleted["version"]] == [2, 3, 4]
    assert deleted["deleted_at"] is not None
    events = feed(documents)
    assert [e["type"] for e in events] == ["File_create", "File_update", "File_update", "File_delete"]
    assert [e["event_id"] for e in events] == [1, 2, 3, 4]
    assert [e["version"] for e in events] == [1, 2, 3, 4]
    assert events[2]["name"] == "b.txt"
    assert events[3]["by"] == documents.user_id


def test_the_same_bytes_and_name_make_no_version(documents: Documents) -> None:
    """Saving what is there already is no change: no version, no entry."""
    file = documents.apply(documents.create(content=b"same")).outcomes[0]["file"]
    applied = documents.apply(update(file["id"], path=documents.blob(b"same"), name=file["name"]))
    assert applied.outcomes[0]["file"]["version"] == 1
    assert applied.events == []
    assert len(feed(documents)) == 1


def test_a_refused_change_leaves_its_neighbours_alone(documents: Documents) -> None:
    """Each change of a batch has an outcome of its own, and numbers have no hole."""
    stranger = documents.new_user()
    mine = documents.apply(documents.create()).outcomes[0]["file"]
    unknown_user = {**documents.create(), "user_id": 2_000_000}
    changes: list[Change] = [
        documents.create("good.txt"),
        unknown_user,
        {**documents.create(), "name": "a/b"},
        {**documents.create(), "path": "ab/cd/" + "ab" + "cd" + "0" * 60},
        {"op": "delete", "by": stranger, "owner": stranger, "file_id": mine["id"]},
        {"op": "delete", "by": None, "file_id": 999_999},
        documents.create("also good.txt"),
    ]
    applied = documents.apply(*changes)
    assert [o.get("code", "ok") for o in applied.outcomes] == [
        "ok", "not_found", "invalid_input", "blob_missing", "not_found", "not_found", "ok",
    ]  # fmt: skip
    assert [e["event_id"] for e in feed(documents)] == [1, 2, 3]
    assert len(applied.events) == 2


def test_a_repeated_message_is_applied_once(documents: Documents) -> None:
    """The bus may deliver a call twice; the change's key makes the second one harmless."""
    change = documents.create()
    first = documents.apply(change).outcomes[0]["file"]
    again = documents.apply(documents.create("other.txt"), change).outcomes[1]["file"]
    assert again == first
    assert len(feed(documents)) == 2


def test_two_copies_of_a_message_at_once_make_one_file(documents: Documents) -> None:
    """Also when two workers run them at the same time."""
    change = documents.create()
    threads = [eventlet.spawn(documents.apply, change) for _ in range(6)]
    ids = {thread.wait().outcomes[0]["file"]["id"] for thread in threads}
    assert len(ids) == 1
    assert len(feed(documents)) == 1


def test_two_changes_of_one_file_in_a_batch_are_two_versions(documents: Documents) -> None:
    """Both are recorded as they were."""
    file = documents.apply(documents.create()).outcomes[0]["file"]
    outcomes = documents.apply(update(file["id"], name="b"), update(file["id"], name="c")).outcomes
    assert [(o["file"]["version"], o["file"]["name"]) for o in outcomes] == [(2, "b"), (3, "c")]
    assert [(e["version"], e["name"]) for e in feed(documents)][1:] == [(2, "b"), (3, "c")]


def test_fifty_concurrent_updates_lose_nothing(documents: Documents) -> None:
    """Versions 1 to 51 without a hole, each name in exactly one entry."""
    file = documents.apply(documents.create()).outcomes[0]["file"]
    threads = [eventlet.spawn(documents.apply, update(file["id"], name=f"n{n}")) for n in range(50)]
    for thread in threads:
        assert thread.wait().outcomes[0]["ok"]
    events = feed(documents)
    assert [e["version"] for e in events] == list(range(1, 52))
    assert {e["name"] for e in events[1:]} == {f"n{n}" for n in range(50)}


WRITER = """
import sys, eventlet; eventlet.monkey_patch()
from pathlib import Path
from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.files.changes import apply_changes
from docsave_services.storage import BlobStore
db, store = Transactions(make_engine(sys.argv[1])), BlobStore(Path(sys.argv[2]))
change = {"op": "create", "by": None, "user_id": int(sys.argv[3]), "name": "n", "path": sys.argv[4]}
def write():
    for _ in range(25):
        assert apply_changes(db, store, [change]).outcomes[0]["ok"]
threads = [eventlet.spawn(write) for _ in range(4)]
for thread in threads: thread.wait()
"""


def test_a_reader_misses_nothing_while_processes_write(documents: Documents) -> None:
    """Order of numbers is order of commits: four processes with four writers each, and a reader at their heels."""
    arguments = [documents.db_uri, str(documents.store.root), str(documents.user_id), documents.blob(b"x")]
    writers = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", WRITER, *arguments]) for _ in range(4)]
    seen: list[int] = []
    cursor: str | None = None
    try:
        while len(seen) < 400 and (len(seen) > 0 or any(w.poll() in (None, 0) for w in writers)):
            page = documents.db.read(lambda s, c=cursor: journal.read(s, c, 50, None))
            seen += [e["event_id"] for e in page["items"]]
            cursor = page["cursor"]
            if all(w.poll() is not None for w in writers) and not page["items"]:
                break
            eventlet.sleep(0.001)
    finally:
        codes = [w.wait(60) for w in writers]
    assert codes == [0, 0, 0, 0]
    assert seen == list(range(1, 401))


def test_the_feed_of_one_user_goes_on_from_its_cursor(documents: Documents) -> None:
    """A filtered reader gets all of its own, nothing twice, and its cursor moves past what is others'."""
    other = documents.new_user()
    for n in range(6):
        documents.apply(documents.create(f"{n}", user_id=other if n % 2 else None))
    names: list[str] = []
    cursor: str | None = None
    for _ in range(4):
        page = documents.db.read(lambda s, c=cursor: journal.read(s, c, 2, other))
        names += [e["name"] for e in page["items"]]
        cursor = page["cursor"]
    assert names == ["1", "3", "5"]
    assert cursor is not None
    assert cursor.endswith(":6")


@pytest.mark.parametrize("since", ["99", 99, "0b0f1e2d-0000-4000-8000-00000000000a:0"])
def test_a_foreign_or_future_cursor_is_expired(documents: Documents, since: str | int) -> None:
    """Never an empty list: the reader must reload."""
    with pytest.raises(CursorExpired):
        documents.db.read(lambda s: journal.read(s, since, 10, None))


@pytest.mark.parametrize(("since", "limit"), [("x", 10), (None, 0), (None, 1001)])
def test_a_wrong_cursor_or_limit_is_invalid_input(documents: Documents, since: str | None, limit: int) -> None:
    """And says so."""
    with pytest.raises(InvalidInput):
        documents.db.read(lambda s: journal.read(s, since, limit, None))


def list_ids(documents: Documents, **changes: object) -> list[int]:
    """All ids of a list, page by page."""
    ids: list[int] = []
    after = None
    for _ in range(50):
        fields = {"user_id": documents.user_id, "limit": 3, "after": after}
        query = FileQuery(**{**fields, **changes})  # type: ignore[arg-type]
        page = documents.db.read(lambda s, q=query: list_files(s, q))
        ids += [item["id"] for item in page["items"]]
        after = page["next"]
        if after is None:
            return ids
    raise AssertionError("the list does not end")


def test_pages_hold_every_file_once_in_order(documents: Documents) -> None:
    """For every order, also with equal values."""
    names = ["b", "B", "a", "ä", "c", "a", "Z", "_", "10"]
    created = [documents.apply(documents.create(n, n.encode() * 2)).outcomes[0]["file"] for n in names]
    by_id = {f["id"]: f for f in created}
    for sort in (None, *SORTS):
        ids = list_ids(documents, sort=sort)
        assert sorted(ids) == sorted(by_id)
        key = (sort or "id").removeprefix("-")
        values = [name_key(by_id[i]["name"]) if key == "name" else by_id[i][key] for i in ids]  # type: ignore[literal-required]
        assert values == sorted(values, reverse=(sort or "").startswith("-"))


def test_the_trash_is_listed_apart(documents: Documents) -> None:
    """A deleted file is in the one list or the other, and get_many does not give it."""
    kept, gone = (documents.apply(documents.create(n)).outcomes[0]["file"]["id"] for n in "ab")
    documents.apply({"op": "delete", "by": None, "file_id": gone})
    assert list_ids(documents) == [kept]
    assert list_ids(documents, deleted=True) == [gone]
    found = documents.db.read(lambda s: queries.get_many(s, [gone, kept, 12345, True]))  # type: ignore[list-item]
    assert [f and f["id"] for f in found] == [None, kept, None, None]
    assert documents.db.read(lambda s: queries.get_file(s, gone))["deleted_at"]


def test_a_deleted_file_takes_no_more_changes(documents: Documents) -> None:
    """It is not found, and no version appears."""
    file_id = documents.apply(documents.create()).outcomes[0]["file"]["id"]
    delete: Change = {"op": "delete", "by": None, "file_id": file_id}
    documents.apply(delete)
    assert [o["code"] for o in documents.apply(update(file_id, name="x"), delete).outcomes] == ["not_found"] * 2
    with pytest.raises(NotFound):
        documents.db.read(lambda s: queries.get_file(s, 10**12))


def test_the_backup_state_only_rises(documents: Documents) -> None:
    """A late report about an old version changes nothing; a new version is pending again."""
    file_id = documents.apply(documents.create()).outcomes[0]["file"]["id"]
    documents.apply(update(file_id, name="b"))

    def report(version: int) -> dict:
        documents.db.write(lambda s: mark_protected(s, [{"file_id": file_id, "version": version}]))
        return documents.db.read(lambda s: queries.get_file(s, file_id))["backup"]

    assert report(1) == {"state": "pending", "version": 1}
    assert report(2) == {"state": "protected", "version": 2}
    assert report(1) == {"state": "protected", "version": 2}
    assert documents.apply(update(file_id, name="c")).outcomes[0]["file"]["backup"]["state"] == "pending"


@pytest.mark.parametrize("items", [None, [1], [{"file_id": 1}], [{"file_id": "1", "version": 1}], [{}] * 1001])
def test_a_malformed_report_is_invalid_input(documents: Documents, items: object) -> None:
    """Nothing of it is applied."""
    with pytest.raises(InvalidInput):
        documents.db.write(lambda s: mark_protected(s, items))  # type: ignore[arg-type]


def test_names_are_kept_exactly(documents: Documents) -> None:
    """Composed and decomposed, case, trailing spaces, quotes: as sent, on both databases."""
    names = ["e\u0301.txt", "\u00e9.txt", "A.TXT", "a.txt", "a.txt ", "$(id) ' \" ;--", "😀" * 255]
    outcomes = apply_changes(documents.db, documents.store, [documents.create(n) for n in names]).outcomes
    ids = [o["file"]["id"] for o in outcomes]
    found = documents.db.read(lambda s: queries.get_many(s, ids))
    assert [f and f["name"] for f in found] == names


def test_events_that_were_not_dispatched_are_found(documents: Documents) -> None:
    """What a crash left untold is still marked as such."""
    from datetime import timedelta

    from docsave_services.times import now

    documents.apply(documents.create("a"), documents.create("b"))
    later = now() + timedelta(seconds=1)
    assert [e["event_id"] for e in documents.db.read(lambda s: journal.undispatched(s, later, 10))] == [1, 2]
    documents.db.write(lambda s: journal.mark_dispatched(s, [1]))
    assert [e["event_id"] for e in documents.db.read(lambda s: journal.undispatched(s, later, 10))] == [2]
    assert documents.db.read(lambda s: journal.undispatched(s, now() - timedelta(seconds=60), 10)) == []


def test_a_batch_of_one_key_twice_is_refused_only_once(documents: Documents) -> None:
    """The second element finds the first one's entry."""
    change = documents.create()
    applied = documents.apply(change, {**change, "change_key": uuid.uuid4().hex}, change)
    assert [o["ok"] for o in applied.outcomes] == [True, True, True]
    assert applied.outcomes[0]["file"]["id"] == applied.outcomes[2]["file"]["id"]
    assert len(feed(documents)) == 2
