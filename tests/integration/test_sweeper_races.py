"""The sweeper against those who begin to need what it is about to take."""

from __future__ import annotations

import math
import os
import random
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import eventlet
import pytest
from eventlet import tpool
from sqlalchemy import event, select

from docsave_services.contracts import Change, Outcome
from docsave_services.db.models import FileRow
from docsave_services.db.transactions import Transactions
from docsave_services.errors import BlobMissing
from docsave_services.files.batch import Batch
from docsave_services.files.sweeper import Sweeper
from docsave_services.storage import BlobStore, sweep
from tests.support.crashing import kill_at_each_step
from tests.support.documents import Documents, use_quick_hashes
from tests.support.interleaving import Actor, every_order
from tests.support.sweeping import Sweeping, sweep_until_killed, sweeper_of

MISSING: Outcome = {"ok": False, "code": "blob_missing"}


@pytest.fixture
def sweeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeping]:
    """A sweeper on SQLite. Nothing is made durable here: thousands of fsyncs would take minutes."""
    use_quick_hashes(monkeypatch)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    documents = Documents(f"sqlite:///{tmp_path}/docsave.sqlite3", tmp_path)
    event.listen(documents.db.engine, "checkout", lambda db, *_: db.execute("PRAGMA synchronous=OFF"))
    sweeping = Sweeping(documents)
    sweeping.backup_reports()
    yield sweeping
    documents.close()


def stop_at_each_step(monkeypatch: pytest.MonkeyPatch, sha256: Callable[[], str]) -> None:
    """Every look at or change of the blob with that hash, every transaction, and the moment before a commit."""
    monkeypatch.setattr(tpool, "execute", lambda function, *args, **kwargs: function(*args, **kwargs))
    monkeypatch.setattr(Sweeper, "_sweep_rows", lambda *_: None)  # waits for the writer, as it should
    for name in ("open", "stat", "utime", "rename", "replace", "link", "unlink"):
        stopping = Actor.before(getattr(os, name), lambda *args: any(sha256() in str(a) for a in args))
        monkeypatch.setattr(os, name, stopping)
    for name in ("read", "write"):
        monkeypatch.setattr(Transactions, name, Actor.before(getattr(Transactions, name)))
    monkeypatch.setattr(Batch, "run", Actor.after(Batch.run))


def create_of(documents: Documents, key: str) -> Change:
    return {"op": "create", "by": None, "user_id": documents.user_id, "name": "a.txt", "path": key}


def upload(documents: Documents, content: bytes) -> Outcome:
    """Save the content and make a file of it, as the gateway does."""
    return documents.apply(create_of(documents, documents.blob(content))).outcomes[0]


def reuse(documents: Documents, content: bytes, key: str) -> Outcome:
    """Make a file of content that should be there already."""
    try:
        documents.store.reuse(key)
    except BlobMissing:
        return MISSING
    return documents.apply(create_of(documents, key)).outcomes[0]


def name(documents: Documents, content: bytes, key: str) -> Outcome:
    """Make a file of a blob, as an operator's shell does, without a word to the store."""
    return documents.apply(create_of(documents, key)).outcomes[0]


WAYS = {"upload": lambda documents, content, _: upload(documents, content), "reuse": reuse, "name": name}


@pytest.mark.parametrize("grace_seconds", [24 * 3600.0, -1.0], ids=["grace", "clock_jumped"])
@pytest.mark.parametrize("condemned", [False, True], ids=["in_place", "condemned"])
@pytest.mark.parametrize("way", sorted(WAYS))
def test_no_order_of_steps_loses_a_blob_that_a_row_names(
    sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch, way: str, condemned: bool, grace_seconds: float
) -> None:
    """However the steps of a sweep and of a new reference to the same content interleave, a row that was written has
    its blob, whole. Saving the content always succeeds; naming it succeeds unless it was removed before."""
    documents, outcomes, named = sweeping.documents, Counter(), []
    keys = [""]
    everywhere = sweep.directories
    stop_at_each_step(monkeypatch, lambda: keys[0].rpartition("/")[2])
    monkeypatch.setattr(sweep, "directories", lambda _: iter([sweeping.path(keys[0]).parent]))

    def prepare() -> tuple[Actor, Actor]:
        content = uuid.uuid4().bytes
        keys[0] = sweeping.idle_blob(content)
        sweeping.restart()
        if condemned:
            sweeping.sweep()
            sweeping.wait()
            assert not sweeping.path(keys[0]).exists()
        sweeping.sweeper.grace_seconds = grace_seconds
        return Actor(lambda: WAYS[way](documents, content, keys[0])), Actor(sweeping.sweep)

    for reference, sweeper, order in every_order(prepare):
        sweeper.result()
        outcome = reference.result()
        outcomes[outcome["ok"], outcome.get("code")] += 1
        if outcome["ok"]:
            assert documents.store.size_of(keys[0]) == 16, order
            named.append(keys[0])
    monkeypatch.setattr(sweep, "directories", everywhere)
    sweeping.backup_reports()
    sweeping.restart()
    sweeping.sweeper.grace_seconds = -1.0
    sweeping.sweep_all()
    assert [key for key in named if not sweeping.is_whole(key)] == []
    possible = {(True, None), (False, "blob_missing")} if condemned and way != "upload" else {(True, None)}
    assert set(outcomes) == possible
    assert sum(outcomes.values()) > 50


def test_a_change_that_is_slow_to_commit_keeps_its_blob(sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    """It found the blob in its place; then the clock jumps and two passes go by before it commits."""
    documents, run = sweeping.documents, Batch.run
    sweeping.sweeper.grace_seconds = -1.0
    passes = []

    def slow(batch: Batch) -> object:
        applied = run(batch)
        with monkeypatch.context() as no_rows:
            no_rows.setattr(Sweeper, "_sweep_rows", lambda *_: None)  # waits for the writer, which is this one
            passes.extend(sweeping.sweep() for _ in range(2))
        return applied

    monkeypatch.setattr(Batch, "run", slow)
    key = documents.blob(b"content")
    assert documents.apply(create_of(documents, key)).outcomes[0]["ok"]
    assert [report["condemned"] for report in passes] == [1, 0]
    assert sweeping.sweep()["put_back"] == 1
    assert sweeping.is_whole(key)


WRITERS, ROUNDS_MAX = 4, 400
CONTENTS = [b"%d" % n * 50_000 for n in range(8)]


def test_uploads_and_a_sweeper_at_full_speed(documents: Documents) -> None:
    """Four writers save the same few contents over and over while a sweeper without any grace time runs: no save
    fails, and in the end every row's blob is there and whole.

    A condemned blob waits until every writer has ended two of its rounds: longer than any change is under way, as ten
    minutes are in life.
    """
    sweeping = Sweeping(documents)
    rounds = [0.0] * WRITERS
    sweeping.sweeper = Sweeper(documents.db, documents.store, sweeping.settings, clock=lambda: min(rounds))
    sweeping.sweeper.grace_seconds, sweeping.sweeper.condemned_seconds = 0.0, 2.0
    totals: Counter[str] = Counter()

    def write(number: int) -> None:
        chance = random.Random(number)
        file_id = None
        while totals["blobs"] < 10 and rounds[number] < ROUNDS_MAX:
            key = tpool.execute(documents.blob, chance.choice(CONTENTS))
            if file_id is None:
                change = create_of(documents, key)
            else:
                change = {"op": "update", "by": None, "file_id": file_id, "path": key, "name": chance.choice("abc")}
            outcome = documents.apply(change).outcomes[0]
            assert outcome["ok"], outcome
            file_id = outcome["file"]["id"]
            rounds[number] += 1
        rounds[number] = math.inf

    writers = [eventlet.spawn(write, number) for number in range(WRITERS)]
    while not all(map(math.isinf, rounds)) and not any(writer.dead for writer in writers):
        sweeping.backup_reports()
        totals.update({name: count for name, count in sweeping.sweep().items() if type(count) is int})
    for writer in writers:
        writer.wait()
    sweeping.sweeper = Sweeper(documents.db, documents.store, sweeping.settings, clock=lambda: sweeping.time)
    sweeping.sweeper.grace_seconds = -1.0
    sweeping.backup_reports()
    sweeping.sweep_all()
    named = set(documents.db.read(lambda s: s.scalars(select(FileRow.path)).all()))
    assert all(sweeping.is_whole(key) for key in named)
    assert totals["blobs"] >= 10
    assert {blob.key for d in sweep.directories(documents.store) for blob in sweep.idle_blobs(d, 2**63)[0]} == named


def test_a_kill_at_any_step_of_a_pass_is_mended_by_the_next(sweeping: Sweeping, tmp_path: Path) -> None:
    """What is needed can be read at every moment, and is in its place after the next pass; the rest goes."""
    store, documents = sweeping.store, sweeping.documents
    named = {name: documents.blob(name.encode()) for name in ("in place", "aside", "with both names")}
    for key in named.values():
        assert documents.apply(create_of(documents, key)).outcomes[0]["ok"]
    store.condemned.mkdir()
    sweeping.path(named["aside"]).rename(store.condemned / Path(named["aside"]).name)
    (store.condemned / Path(named["with both names"]).name).hardlink_to(sweeping.path(named["with both names"]))
    waited = sweeping.idle_blob(b"has waited")
    sweeping.path(waited).rename(store.condemned / Path(waited).name)
    idle = sweeping.idle_blob(b"idle")
    sweeping.backup_reports()
    documents.close()
    runs = tmp_path / "runs"
    shutil.copytree(store.root, runs / "0" / "blobs")
    shutil.copy(tmp_path / "docsave.sqlite3", runs / "0")
    steps = kill_at_each_step(runs, sweep_until_killed)
    assert steps > 9
    for number in range(1, steps + 1):
        _check_mended(runs / str(number), named, idle, waited)


def _check_mended(directory: Path, named: dict[str, str], idle: str, waited: str) -> None:
    store = BlobStore(directory / "blobs")
    for name, key in named.items():
        assert b"".join(store.read_verified(key)) == name.encode(), directory
    assert store.size_of(idle) == 4, directory
    sweeper = sweeper_of(directory)
    for _ in range(2):
        sweeper.sweep(lambda _: None)
    assert not list(store.condemned.iterdir()), directory
    left = {blob.key for part in sweep.directories(store) for blob in sweep.idle_blobs(part, 2**63)[0]}
    assert left == set(named.values()), directory
    assert {idle, waited}.isdisjoint(left)
