"""What one change of a file does, on a real database: labels, references, repeats, preconditions, quotas, events."""

import json
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import eventlet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update

from docsave_services.contracts import Change, FileEvent, Outcome, StoredFile
from docsave_services.db import audit, journal
from docsave_services.db.account_models import AuditRow
from docsave_services.db.audit import Actor
from docsave_services.db.file_models import FileLabelRow, FileRefRow, FileUsageRow, IdempotencyKeyRow
from docsave_services.db.models import FileRow, UserRow
from docsave_services.files import queries
from docsave_services.files.changes import Applied
from docsave_services.files.holds import note_hold, note_release
from docsave_services.files.usage import usage_of
from docsave_services.times import now
from tests.support.documents import Documents

PROCESSES = 4


def one(applied: Applied) -> StoredFile:
    """The file of a batch of one good change."""
    [outcome] = applied.outcomes
    assert outcome["ok"], outcome
    return outcome["file"]


def code(applied: Applied) -> str:
    """Why a batch of one change was refused."""
    [outcome] = applied.outcomes
    assert not outcome["ok"]
    assert applied.events == []
    return outcome["code"]


def change(op: Any, file_id: int, **fields: Any) -> Change:
    return {"op": op, "by": None, "file_id": file_id, **fields}


def saved(documents: Documents, key: str = "42", content: bytes = b"one", **fields: Any) -> Change:
    """A change that saves by the reference of a CRM's deal."""
    ref = {"system": "crm.deal", "key": key, "name": "offer.pdf"}
    made: dict[str, Any] = {**documents.create("offer.pdf", content), "op": "save", "ref": ref}
    return {**made, **fields}  # type: ignore[typeddict-item]


def asked(documents: Documents, key: str, print_of: str = "a", **fields: Any) -> Change:
    """A change that creates a file for a request with an ``Idempotency-Key``."""
    return {**documents.create(**fields), "idempotency": {"key": key, "fingerprint": print_of * 64}}


def feed(documents: Documents) -> list[FileEvent]:
    return documents.db.read(lambda s: journal.read(s, None, 1000, None))["items"]


def labels_of(documents: Documents, file_id: int) -> dict[str, str]:
    """The labels by which a file is found."""
    rows = documents.db.read(lambda s: s.scalars(select(FileLabelRow).where(FileLabelRow.file_id == file_id)).all())
    return {row.label: row.value for row in rows}


def usage(documents: Documents, user_id: int | None = None) -> tuple[int, int]:
    used = documents.db.read(lambda s: usage_of(s, user_id or documents.user_id))
    return used["files"], used["used_bytes"]


def counted(documents: Documents, user_id: int) -> tuple[int, int]:
    """What the usage must be: all rows, the trash included."""
    query = select(func.count(), func.coalesce(func.sum(FileRow.size), 0)).where(FileRow.user_id == user_id)
    files, size = documents.db.read(lambda s: s.execute(query).one())
    return files, int(size)


def set_quota(documents: Documents, quota: int | None) -> None:
    query = update(UserRow).where(UserRow.id == documents.user_id).values(quota_bytes=quota)
    documents.db.write(lambda s: s.execute(query))


def together(documents: Documents, batches: Sequence[Sequence[Change]]) -> list[Applied]:
    """Apply the batches at the same time, each on a connection of its own."""
    return [thread.wait() for thread in [eventlet.spawn(documents.apply, *batch) for batch in batches]]


# --- events and fields ------------------------------------------------------------------------------------------------


def test_every_change_tells_the_whole_file(documents: Documents) -> None:
    """Type, version, folder, labels and permanence of each event, from the first save to the removal."""
    labels = {"kind": "offer"}
    file = one(documents.apply({**documents.create(), "folder": "a/b", "labels": labels}))
    assert (file["folder"], file["labels"]) == ("a/b", labels)
    steps: list[tuple[Any, dict[str, Any]]] = [
        ("update", {"folder": "c"}),
        ("update", {"labels": {"kind": "bill", "n": ""}}),
        ("delete", {}),
        ("restore", {"name": "back.txt", "folder": ""}),
        ("remove", {}),
    ]
    for op, fields in steps:
        one(documents.apply(change(op, file["id"], **fields)))
    shown = [(e["type"], e["version"], e["name"], e["folder"], e["labels"], e["permanent"]) for e in feed(documents)]
    bill = {"kind": "bill", "n": ""}
    assert shown == [
        ("File_create", 1, "a.txt", "a/b", labels, False),
        ("File_update", 2, "a.txt", "c", labels, False),
        ("File_update", 3, "a.txt", "c", bill, False),
        ("File_delete", 4, "a.txt", "c", bill, False),
        ("File_create", 5, "back.txt", "", bill, False),
        ("File_delete", 6, "back.txt", "", bill, True),
    ]
    assert {e["sha256"] for e in feed(documents)} == {file["sha256"]}


def test_what_changes_nothing_is_no_version(documents: Documents) -> None:
    """The same folder, labels (in any order), name and bytes."""
    file = one(documents.apply({**documents.create(), "folder": "a", "labels": {"x": "1", "y": "2"}}))
    same = change("update", file["id"], folder="a", labels={"y": "2", "x": "1"}, name=file["name"], path=file["path"])
    applied = documents.apply(same)
    assert one(applied)["version"] == 1
    assert applied.events == []


def test_a_change_has_its_place_in_the_life_of_a_file(documents: Documents) -> None:
    """In the trash a file can be restored and removed; outside updated, deleted, removed; removed, nothing."""
    allowed = {
        "update": ["ok", "not_found", "not_found"],
        "delete": ["ok", "not_found", "not_found"],
        "restore": ["not_deleted", "ok", "not_found"],
        "remove": ["ok", "ok", "not_found"],
    }
    for op, expected in allowed.items():
        fields = {"name": "b"} if op == "update" else {}
        kept, trashed, removed = (one(documents.apply(documents.create())) for _ in range(3))
        documents.apply(change("delete", trashed["id"]), change("remove", removed["id"]))
        before = len(feed(documents))
        outcomes = documents.apply(*(change(op, f["id"], **fields) for f in (kept, trashed, removed))).outcomes
        assert [outcome.get("code", "ok") for outcome in outcomes] == expected
        assert len(feed(documents)) == before + expected.count("ok")


def test_somebody_elses_file_is_not_found_by_any_change(documents: Documents) -> None:
    """Whatever is asked, with whatever precondition: it does not exist."""
    file = one(documents.apply(documents.create()))
    stranger = documents.new_user()
    for op in ("update", "delete", "restore", "remove"):
        refused = change(op, file["id"], owner=stranger, if_match=["nonsense"])
        assert code(documents.apply(refused)) == "not_found"


def test_the_trail_says_who_took_a_file_away_and_brought_it_back(documents: Documents) -> None:
    """`file_deleted`, `file_restored`, `file_removed`, with address, session and key; refused ones leave no line."""
    file = one(documents.apply(documents.create()))
    who: dict[str, Any] = {"by": documents.user_id, "address": "192.0.2.7", "session_id": "s" * 32, "key_id": 9}
    for op in ("restore", "delete", "delete", "restore", "remove", "remove"):
        documents.apply({**change(op, file["id"]), **who})
    query = select(AuditRow).where(AuditRow.action.like("file%")).order_by(AuditRow.id)
    lines = documents.db.read(lambda s: s.scalars(query).all())
    assert [(line.action, json.loads(line.detail)) for line in lines] == [
        ("file_deleted", {"file": file["id"], "version": 2}),
        ("file_restored", {"file": file["id"], "version": 3}),
        ("file_removed", {"file": file["id"], "version": 4}),
    ]
    assert {(x.user_id, x.by, x.address, x.session_id, x.key_id) for x in lines} == {
        (documents.user_id, documents.user_id, "192.0.2.7", "s" * 32, 9)
    }
    assert {line.action for line in lines} <= set(audit.ACTIONS)


def test_a_held_file_is_not_removed(documents: Documents) -> None:
    """Not by its owner, not by an administrator, while the rest of the batch is; after the last hold it goes."""
    held = one(documents.apply(documents.create()))
    for version in (None, 1):
        hold = (documents.user_id, held["id"], version, "lawsuit", Actor(by=9))
        assert [documents.db.write(lambda s, h=hold: note_hold(s, *h)) for _ in range(2)] == [True, False]
    for version in (None, 1):
        other = one(documents.apply(documents.create()))
        refused, done = documents.apply(change("remove", held["id"]), change("remove", other["id"])).outcomes
        assert (refused["code"], done["ok"]) == ("on_hold", True)
        release = (held["id"], version, Actor(by=9))
        assert [documents.db.write(lambda s, r=release: note_release(s, *r)) for _ in range(2)] == [True, False]
    assert one(documents.apply(change("remove", held["id"])))["id"] == held["id"]
    query = select(AuditRow.action).where(AuditRow.action.like("hold%"))
    actions = documents.db.read(lambda s: s.scalars(query).all())
    assert sorted(actions) == ["hold_placed", "hold_placed", "hold_released", "hold_released"]


def test_a_message_repeated_after_the_file_is_gone_does_nothing(documents: Documents) -> None:
    """Creation, update and removal each answer what they did; the file stays away."""
    made = documents.create()
    file = one(documents.apply(made))
    renamed = change("update", file["id"], name="b", change_key=uuid.uuid4().hex)
    removed = change("remove", file["id"], change_key=uuid.uuid4().hex)
    documents.apply(renamed)
    documents.apply(removed)
    again = documents.apply(made, renamed, removed)
    assert again.events == []
    assert [o["ok"] and o["replayed"] for o in again.outcomes] == [True] * 3
    assert [(o["created"], o["file"]["id"], o["file"]["version"]) for o in again.outcomes] == [
        (True, file["id"], 1),
        (False, file["id"], 2),
        (False, file["id"], 3),
    ]
    assert documents.db.read(lambda s: queries.get_many(s, [file["id"]])) == [None]
    assert usage(documents) == (0, 0)


# --- labels -----------------------------------------------------------------------------------------------------------


def test_a_file_is_found_by_the_labels_it_has(documents: Documents) -> None:
    """After every change the rows for searching say the same as the file; none is left of a removed one."""
    rng = random.Random(4)
    ids: list[int] = []
    for _ in range(60):
        labels = {rng.choice("abcd"): rng.choice(["", "1", "1 ", "é", "É"]) for _ in range(rng.randrange(4))}
        op = rng.choice(["create", "save", "update", "update", "delete", "restore", "remove"])
        if op == "create":
            made = {**documents.create(), "labels": labels}
        elif op == "save":
            made = saved(documents, str(rng.randrange(3)), labels=labels)
        elif ids:
            made = change(op, rng.choice(ids), **({"labels": labels} if op in ("update", "restore") else {}))
        else:
            continue
        outcome = documents.apply(made, documents.create()).outcomes[0]
        if outcome["ok"]:
            ids.append(outcome["file"]["id"])
    assert len(set(ids)) > 10
    for file_id in set(ids):
        row = documents.db.read(lambda s, i=file_id: s.get(FileRow, i))
        assert labels_of(documents, file_id) == (json.loads(row.labels) if row and row.labels else {})


# --- references -------------------------------------------------------------------------------------------------------


def test_a_reference_stands_for_one_file(documents: Documents) -> None:
    """The first save creates, the second is a version; the name that people gave it stays; another key is another."""
    first = documents.apply(saved(documents)).outcomes[0]
    file_id = first["file"]["id"]
    assert (first["created"], first["file"]["labels"]) == (True, {"crm.deal": "42"})
    documents.apply(change("update", file_id, name="renamed.pdf", labels={"crm.deal": "42", "mine": "1"}))
    second = documents.apply(saved(documents, content=b"two")).outcomes[0]
    assert (second["created"], second["file"]["id"]) == (False, file_id)
    assert (second["file"]["name"], second["file"]["version"]) == ("renamed.pdf", 3)
    assert second["file"]["labels"] == {"crm.deal": "42", "mine": "1"}
    same = documents.apply(saved(documents, content=b"two"))
    assert (same.outcomes[0]["file"]["version"], same.events) == (3, [])
    relabelled = one(documents.apply(saved(documents, content=b"two", labels={"kind": "offer"})))
    assert relabelled["labels"] == {"crm.deal": "42", "kind": "offer"}
    assert one(documents.apply(saved(documents, "42 ")))["id"] != file_id
    other = documents.new_user()
    theirs = {**saved(documents), "user_id": other, "by": other}
    assert one(documents.apply(theirs))["user_id"] == other  # type: ignore[arg-type]


def test_a_reference_finds_its_file_in_the_trash_and_not_beyond(documents: Documents) -> None:
    """From the trash it comes back as File_create, with the new content; one that was removed begins anew."""
    file = one(documents.apply(saved(documents)))
    documents.apply(change("delete", file["id"]))
    back = documents.apply(saved(documents, content=b"two"))
    assert (one(back)["id"], one(back)["version"], one(back)["deleted_at"]) == (file["id"], 3, None)
    assert [e["type"] for e in back.events] == ["File_create"]
    assert back.outcomes[0]["created"] is False
    documents.apply(change("delete", file["id"]), change("remove", file["id"]))
    anew = documents.apply(saved(documents))
    assert (anew.outcomes[0]["created"], one(anew)["version"]) == (True, 1)
    assert one(anew)["id"] > file["id"]
    removed_and_saved = documents.apply(change("remove", one(anew)["id"]), saved(documents)).outcomes
    assert [o["ok"] for o in removed_and_saved] == [True, True]
    assert removed_and_saved[1]["created"]
    assert len(documents.db.read(lambda s: s.scalars(select(FileRefRow)).all())) == 1


def test_one_new_reference_twice_in_a_batch_is_one_file(documents: Documents) -> None:
    """The second is a version of the first; the same bytes are none."""
    outcomes = documents.apply(
        saved(documents), saved(documents, content=b"two"), saved(documents, content=b"two"), saved(documents, "43")
    ).outcomes
    assert [(o["created"], o["file"]["version"]) for o in outcomes] == [(True, 1), (False, 2), (False, 2), (True, 1)]
    assert len({o["file"]["id"] for o in outcomes}) == 2
    assert feed(documents)[0]["id"] == outcomes[0]["file"]["id"]
    assert Counter(e["version"] for e in feed(documents)) == {1: 2, 2: 1}


def test_one_new_reference_from_many_at_once_is_one_file(documents: Documents) -> None:
    """Whoever is later gives it its next version."""
    applied = together(documents, [[saved(documents, content=f"{n}".encode())] for n in range(8)])
    assert len({one(a)["id"] for a in applied}) == 1
    assert sorted(one(a)["version"] for a in applied) == list(range(1, 9))
    assert sum(a.outcomes[0]["created"] for a in applied) == 1
    assert [e["event_id"] for e in feed(documents)] == list(range(1, 9))


# --- repeated requests ------------------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_first_answer(documents: Documents) -> None:
    """Also when the file changed or was removed since; another request with the key is refused."""
    first = documents.apply(asked(documents, "k")).outcomes[0]
    for later in (change("update", first["file"]["id"], name="b"), change("remove", first["file"]["id"])):
        documents.apply(later)
        again = documents.apply(asked(documents, "k", content=b"two"))
        assert again.outcomes[0] == {**first, "replayed": True}
        assert again.events == []
    assert code(documents.apply(asked(documents, "k", "b"))) == "idempotency_key_reused"
    stranger = documents.new_user()
    theirs = documents.apply({**asked(documents, "k", "b", user_id=stranger), "by": stranger})
    assert one(theirs)["user_id"] == stranger
    assert documents.apply(asked(documents, "k ")).outcomes[0]["file"]["id"] != first["file"]["id"]


def test_a_refused_request_may_be_repeated_for_good(documents: Documents) -> None:
    """Only what was done is remembered."""
    bad = {**asked(documents, "k"), "path": "ab/cd/" + "abcd" + "0" * 60}
    assert code(documents.apply(bad)) == "blob_missing"
    assert one(documents.apply(asked(documents, "k")))["version"] == 1


def test_a_key_counts_for_a_day(documents: Documents) -> None:
    """A second before its end it is the old request's, then a new one's."""
    first = one(documents.apply(asked(documents, "k")))

    def grow_old(age: timedelta) -> None:
        query = update(IdempotencyKeyRow).values(created_at=now() - age)
        documents.db.write(lambda s: s.execute(query))

    grow_old(timedelta(hours=23, minutes=59))
    assert one(documents.apply(asked(documents, "k")))["id"] == first["id"]
    grow_old(timedelta(hours=24))
    second = documents.apply(asked(documents, "k", "b"))
    assert one(second)["id"] != first["id"]
    assert second.outcomes[0].get("replayed") is None
    assert one(documents.apply(asked(documents, "k", "b")))["id"] == one(second)["id"]


def test_one_key_twice_in_a_batch_is_one_file(documents: Documents) -> None:
    """And a third with other content is refused."""
    outcomes = documents.apply(asked(documents, "k"), asked(documents, "k"), asked(documents, "k", "b")).outcomes
    assert [o.get("code", o.get("replayed")) for o in outcomes] == [None, True, "idempotency_key_reused"]
    assert outcomes[0]["file"] == outcomes[1]["file"]
    assert outcomes[0]["file"]["id"] > 0
    assert len(feed(documents)) == 1


def test_one_key_from_many_at_once_is_one_file(documents: Documents) -> None:
    """Exactly one is not a repeat; their neighbours in the batches are all made."""
    batches = [[asked(documents, "k"), documents.create(f"{n}")] for n in range(8)]
    applied = together(documents, batches)
    assert len({a.outcomes[0]["file"]["id"] for a in applied}) == 1
    assert sorted(bool(a.outcomes[0].get("replayed")) for a in applied) == [False] + [True] * 7
    assert all(a.outcomes[1]["ok"] for a in applied)
    assert [e["event_id"] for e in feed(documents)] == list(range(1, 10))


# --- preconditions ----------------------------------------------------------------------------------------------------


def test_a_change_happens_only_to_the_version_it_was_meant_for(documents: Documents) -> None:
    """By hash, by version, by anything; every operation; what does not match changes nothing."""
    for op in ("update", "delete", "restore", "remove"):
        file = one(documents.apply(documents.create(content=op.encode())))
        if op == "restore":
            file = one(documents.apply(change("delete", file["id"])))
        fields = {"name": "b"} if op == "update" else {}
        for wrong in (["0" * 64], ["v9", "V1", f"v{file['version']} "], [], [""], [f'"{file["sha256"]}"']):
            assert code(documents.apply(change(op, file["id"], if_match=wrong, **fields))) == "precondition_failed"
        for right in ([file["sha256"]], ["x", f"v{file['version']}"], ["*"]):
            unchanged = change("update", file["id"], if_match=right)
            if op != "restore":
                assert one(documents.apply(unchanged))["version"] == file["version"]
        assert one(documents.apply(change(op, file["id"], if_match=["v0", f"v{file['version']}"], **fields)))


def test_nothing_matches_before_there_is_a_file(documents: Documents) -> None:
    """`If-Match: *` on a new reference is refused; on one that is there it is not."""
    assert code(documents.apply(saved(documents, if_match=["*"]))) == "precondition_failed"
    assert code(documents.apply({**documents.create(), "if_match": ["*"]})) == "precondition_failed"
    file = one(documents.apply(saved(documents)))
    assert one(documents.apply(saved(documents, content=b"two", if_match=["v1"])))["version"] == 2
    assert code(documents.apply(saved(documents, content=b"three", if_match=["v1"]))) == "precondition_failed"
    assert file["version"] == 1


def test_of_many_with_the_same_precondition_one_wins(documents: Documents) -> None:
    """No update is lost unseen."""
    file = one(documents.apply(documents.create()))
    batches = [[change("update", file["id"], name=f"{n}", if_match=["v1"])] for n in range(8)]
    assert sorted(a.outcomes[0]["ok"] for a in together(documents, batches)) == [False] * 7 + [True]
    assert [e["version"] for e in feed(documents)] == [1, 2]


# --- quota ------------------------------------------------------------------------------------------------------------


def test_a_quota_is_exact_to_the_byte(documents: Documents) -> None:
    """Full is full; smaller content fits, the trash counts, removal frees."""
    set_quota(documents, 10)
    file = one(documents.apply(documents.create(content=b"x" * 6)))
    assert code(documents.apply(documents.create(content=b"y" * 5))) == "quota_exceeded"
    assert usage(documents) == (1, 6)
    full = one(documents.apply(documents.create(content=b"y" * 4)))
    assert one(documents.apply(documents.create(content=b"")))["size"] == 0
    grown = change("update", full["id"], path=documents.blob(b"z" * 5))
    assert code(documents.apply(grown)) == "quota_exceeded"
    assert one(documents.apply(change("update", full["id"], path=documents.blob(b"w" * 4))))["version"] == 2
    assert one(documents.apply(change("update", full["id"], name="renamed")))["version"] == 3
    assert one(documents.apply(change("update", full["id"], path=documents.blob(b"y" * 3))))["size"] == 3
    documents.apply(change("delete", file["id"]))
    assert code(documents.apply(documents.create(content=b"y" * 2))) == "quota_exceeded"
    assert usage(documents) == (3, 9)
    documents.apply(change("remove", file["id"]))
    assert usage(documents) == (2, 3)
    outcomes = documents.apply(*(documents.create(content=b"v" * 3) for _ in range(3))).outcomes
    assert [o.get("code", "ok") for o in outcomes] == ["ok", "ok", "quota_exceeded"]
    assert usage(documents) == (4, 9) == counted(documents, documents.user_id)


def test_a_quota_below_the_usage_lets_shrink_only(documents: Documents) -> None:
    """Also a quota of nothing, under which an empty file still fits; without a quota nothing is refused."""
    file = one(documents.apply(documents.create(content=b"x" * 6)))
    set_quota(documents, 0)
    assert code(documents.apply(change("update", file["id"], path=documents.blob(b"x" * 7)))) == "quota_exceeded"
    assert one(documents.apply(change("update", file["id"], path=documents.blob(b"x" * 5))))["size"] == 5
    assert one(documents.apply(documents.create(content=b"")))["size"] == 0
    assert code(documents.apply(documents.create(content=b"x"))) == "quota_exceeded"
    assert code(documents.apply(saved(documents, content=b"x"))) == "quota_exceeded"
    other = documents.new_user()
    assert one(documents.apply(documents.create(content=b"x" * 100, user_id=other)))["size"] == 100
    set_quota(documents, None)
    assert one(documents.apply(documents.create(content=b"x" * 100)))["size"] == 100


def test_batches_at_once_never_exceed_a_quota(documents: Documents) -> None:
    """What is left is given once."""
    set_quota(documents, 10)
    batches = [[documents.create(content=b"abc"), documents.create(content=b"d")] for _ in range(8)]
    outcomes = [o for applied in together(documents, batches) for o in applied.outcomes]
    kept = sum(o["file"]["size"] for o in outcomes if o["ok"])
    assert {o.get("code", "ok") for o in outcomes} == {"ok", "quota_exceeded"}
    assert usage(documents)[1] == kept == counted(documents, documents.user_id)[1] == 10


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["create", "save", "update", "delete", "restore", "remove", "quota"]),
        st.integers(0, 5),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=25,
)


def test_usage_equals_a_recount_after_any_changes(documents: Documents) -> None:
    """In any order, in batches of any size, with refused ones among them, with and without a quota."""
    blobs = [documents.blob(b"x" * size) for size in (0, 1, 5, 20)]

    @settings(max_examples=12, deadline=None)
    @given(OPERATIONS)
    def check(operations: list[tuple[str, int, int, bool]]) -> None:
        documents.user_id = documents.new_user()
        ids: list[int] = []
        batch: list[Change] = []

        def send() -> None:
            outcomes: list[Outcome] = documents.apply(*batch).outcomes if batch else []
            ids.extend(o["file"]["id"] for o in outcomes if o["ok"])
            batch.clear()

        for op, which, blob, last in operations:
            if op == "quota":
                send()
                set_quota(documents, [None, 0, 10, 30][blob])
            elif op in ("create", "save"):
                made = documents.create() if op == "create" else saved(documents, str(which))
                batch.append({**made, "path": blobs[blob]})
            elif ids:
                batch.append(change(op, ids[which % len(ids)], **({"path": blobs[blob]} if op == "update" else {})))
            if last:
                send()
        send()
        assert usage(documents) == counted(documents, documents.user_id)

    check()
    rows = documents.db.read(lambda s: s.scalars(select(FileUsageRow)).all())
    assert all(row.files >= 0 and row.used_bytes >= 0 for row in rows)


# --- many at once -----------------------------------------------------------------------------------------------------

WRITER = """
import sys, eventlet; eventlet.monkey_patch()
from pathlib import Path
from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.files.changes import apply_changes
from docsave_services.storage import BlobStore
uri, root, file_id, process, writers = sys.argv[1:]
db, store = Transactions(make_engine(uri)), BlobStore(Path(root))
def write(n):
    change = {"op": "update", "by": None, "file_id": int(file_id), "name": f"{process}-{n}"}
    assert apply_changes(db, store, [change]).outcomes[0]["ok"]
for thread in [eventlet.spawn(write, n) for n in range(int(writers))]: thread.wait()
"""


def test_fifty_writers_in_several_processes_lose_nothing(documents: Documents) -> None:
    """Versions 1 to 51 and entries 1 to 51 without a hole, each writer's name in exactly one."""
    file = one(documents.apply(documents.create()))
    shares = [13, 13, 12, 12]
    command = [sys.executable, "-W", "ignore", "-c", WRITER, documents.db_uri, str(documents.store.root)]
    writers = [
        subprocess.Popen([*command, str(file["id"]), str(n), str(share)], stdout=subprocess.DEVNULL)
        for n, share in enumerate(shares)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * PROCESSES
    events = feed(documents)
    assert [e["version"] for e in events] == list(range(1, 52))
    assert [e["event_id"] for e in events] == list(range(1, 52))
    assert {e["name"] for e in events[1:]} == {f"{p}-{n}" for p, share in enumerate(shares) for n in range(share)}


def test_a_database_that_tells_one_id_at_a_time(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL has no RETURNING: each new file of a batch still gets its own id, in the outcome and in the journal."""
    monkeypatch.setattr(documents.db.engine.dialect, "insert_executemany_returning", False)
    applied = documents.apply(*(documents.create(f"{n}.txt", f"{n}".encode()) for n in range(5)))
    files = [outcome["file"] for outcome in applied.outcomes]
    assert [file["name"] for file in files] == [f"{n}.txt" for n in range(5)]
    assert [event["id"] for event in applied.events] == [file["id"] for file in files]
    with documents.db.engine.connect() as connection:
        rows = connection.execute(text("SELECT id, name FROM file ORDER BY id")).all()
    assert [(row.id, row.name) for row in rows] == [(file["id"], file["name"]) for file in files]
