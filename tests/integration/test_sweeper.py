"""What the sweeper removes and what it leaves, on a real store and a real database."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from docsave_services.contracts import Change
from docsave_services.db.audit import Actor
from docsave_services.db.engine import make_engine
from docsave_services.db.file_models import IdempotencyKeyRow
from docsave_services.db.models import FileRow, JournalHeadRow
from docsave_services.db.transactions import Transactions
from docsave_services.errors import BlobMissing, DatabaseUnavailable, Unavailable
from docsave_services.files import sweeper as sweeper_module
from docsave_services.files import trash
from docsave_services.files.holds import note_hold, note_release
from docsave_services.files.needs import BACKUP_UNKNOWN, OTHER_JOURNAL
from docsave_services.storage import UnfinishedUploads, UploadState, sweep
from docsave_services.times import now
from tests.support.documents import Documents
from tests.support.sweeping import DAYS, Sweeping

SQLITE = pytest.mark.parametrize("database_uri", ["sqlite"], indirect=True)
"""For what the kind of database does not matter to."""


@pytest.fixture
def sweeping(documents: Documents) -> Sweeping:
    """A sweeper; the backup has reported."""
    sweeping = Sweeping(documents)
    sweeping.backup_reports()
    return sweeping


def saved(sweeping: Sweeping, *contents: bytes) -> tuple[int, list[str]]:
    """A file with a version for each content; its id and the blobs, which are idle."""
    documents = sweeping.documents
    file = documents.apply(documents.create(content=contents[0])).outcomes[0]["file"]
    for content in contents[1:]:
        documents.apply({"op": "update", "by": None, "file_id": file["id"], "path": documents.blob(content)})
    keys = [documents.blob(content) for content in contents]
    for key in keys:
        sweeping.age(key)
    return file["id"], keys


def test_old_versions_go_once_the_backup_has_them(sweeping: Sweeping) -> None:
    """The current version's blob stays; the others go after the backup's word, and not before the waiting time."""
    _, (first, second, current) = saved(sweeping, b"first", b"second", b"current")
    sweeping.backup_reports(1)
    assert sweeping.sweep()["kept_for_backup"] == 1  # version 2, whose entry the backup has not passed
    assert not sweeping.path(first).exists()
    sweeping.backup_reports()
    assert sweeping.sweep()["condemned"] == 1
    assert b"".join(sweeping.store.read_verified(second)) == b"second"  # still there for who reads it now
    sweeping.wait()
    assert (sweeping.sweep()["blobs"], sweeping.sweep()["blobs"]) == (2, 0)
    for key in (first, second):
        with pytest.raises(BlobMissing):
            sweeping.store.open(key)
    assert sweeping.is_whole(current)


def test_content_of_a_file_in_the_trash_stays(sweeping: Sweeping) -> None:
    """It can be restored; only removal for good lets its blob go, once the backup has that too."""
    file_id, (key,) = saved(sweeping, b"content")
    sweeping.documents.apply({"op": "delete", "by": None, "file_id": file_id})
    sweeping.backup_reports()
    sweeping.sweep_all()
    assert sweeping.is_whole(key)
    sweeping.documents.apply({"op": "remove", "by": None, "file_id": file_id})
    sweeping.age(key)
    sweeping.sweep_all()
    assert sweeping.is_whole(key)
    sweeping.backup_reports()
    sweeping.sweep_all()
    assert not sweeping.path(key).exists()


@SQLITE
def test_content_is_kept_for_the_grace_time_after_it_was_replaced(sweeping: Sweeping) -> None:
    """However old it is: an archive that began before may still come to it."""
    file_id, (first,) = saved(sweeping, b"first")
    documents = sweeping.documents
    documents.apply({"op": "update", "by": None, "file_id": file_id, "path": documents.blob(b"second")})
    sweeping.backup_reports()
    sweeping.sweep_all()
    assert sweeping.is_whole(first)
    sweeping.age(first)
    sweeping.sweep_all()
    assert not sweeping.path(first).exists()


def test_content_that_another_file_names_stays(sweeping: Sweeping) -> None:
    """Equal content is stored once and named twice."""
    _, (shared, _) = saved(sweeping, b"shared", b"mine alone")
    saved(sweeping, b"shared")
    sweeping.backup_reports()
    sweeping.sweep_all()
    assert sweeping.is_whole(shared)


def test_content_that_was_never_saved_goes_by_age_alone(sweeping: Sweeping) -> None:
    """No entry names it, so the backup never will have it; one that is younger than the grace time stays."""
    orphan, fresh = sweeping.idle_blob(b"orphan"), sweeping.documents.blob(b"fresh")
    sweeping.age(fresh, DAYS - 60)
    sweeping.sweep_all()
    assert not sweeping.path(orphan).exists()
    assert sweeping.is_whole(fresh)


@SQLITE
def test_content_of_an_upload_that_is_about_to_become_a_file_stays(sweeping: Sweeping) -> None:
    """Its finishing was interrupted, and it may be asked for as long as the upload lives."""
    uploads = UnfinishedUploads(sweeping.store, sweeping.settings.upload_life_seconds)
    held = uploads.create(sweeping.documents.user_id, UploadState(4, "", "a.txt"))
    held.append([b"part"])
    held.save(replace(held.state, sha256=hashlib.sha256(b"part").hexdigest()))
    key = held.move_into(sweeping.store)
    sweeping.age(key)
    sweeping.sweep_all()
    assert sweeping.is_whole(key)
    held.discard()
    held.release()
    sweeping.sweep_all()
    assert not sweeping.path(key).exists()


@SQLITE
def test_uploads_past_their_life_go(sweeping: Sweeping) -> None:
    """Resumable ones and bodies whose process died."""
    uploads = UnfinishedUploads(sweeping.store, sweeping.settings.upload_life_seconds)
    held = uploads.create(sweeping.documents.user_id, UploadState(4, "", "a.txt"))
    held.release()
    body = sweeping.store.staging / "body"
    body.write_bytes(b"torso")
    for path in (body, *held.content.parent.iterdir()):
        os.utime(path, (1, 1))
    assert sweeping.sweeper.preview()["uploads"] == 2
    assert sweeping.sweep()["uploads"] == 2
    assert not body.exists()
    assert not held.content.exists()


@pytest.mark.parametrize("said", ["nothing", "about another journal"])
def test_nothing_goes_before_the_backup_has_spoken_about_this_journal(documents: Documents, said: str) -> None:
    """Also no orphan: the database may be a new one over a store that is not."""
    sweeping = Sweeping(documents)
    orphan = sweeping.idle_blob(b"orphan")
    if said != "nothing":
        sweeping.backup_reports()
        documents.db.write(lambda s: s.execute(update(JournalHeadRow).values(epoch=str(uuid.uuid4()))))
    assert sweeping.sweep()["reason"] == BACKUP_UNKNOWN
    assert sweeping.sweeper.preview()["blobs"] == 0
    assert sweeping.is_whole(orphan)
    sweeping.backup_reports()
    assert sweeping.sweep()["condemned"] == 1


@pytest.mark.parametrize("change", [{"epoch": str(uuid.uuid4())}, {"last": 0}], ids=["new", "old copy"])
def test_nothing_goes_when_the_store_knows_a_newer_journal(sweeping: Sweeping, change: dict[str, Any]) -> None:
    """A database that was made anew, or restored from an old copy, does not know what the store holds."""
    _, (old, _) = saved(sweeping, b"old", b"new")
    sweeping.sweep()
    orphan = sweeping.idle_blob(b"saved after the copy of the database")
    sweeping.documents.db.write(lambda s: s.execute(update(JournalHeadRow).values(**change)))
    sweeping.backup_reports()
    sweeping.restart()
    report = sweeping.sweep()
    assert (report["reason"], report["condemned"]) == (OTHER_JOURNAL, 0)
    assert sweeping.is_whole(orphan)
    assert sweeping.is_whole(old)


@SQLITE
def test_nothing_goes_while_the_database_is_away(sweeping: Sweeping, tmp_path: Any) -> None:
    """Neither condemned nor removed; the sweeper goes on when it is back."""
    waiting, idle = sweeping.idle_blob(b"waiting"), sweeping.idle_blob(b"idle")
    sweeping.age(idle, 0)
    sweeping.sweep()
    sweeping.age(idle)
    sweeping.wait()
    away = Transactions(make_engine(f"sqlite:///{tmp_path}/never-migrated.sqlite3"))
    present, sweeping.sweeper._transactions = sweeping.sweeper._transactions, away
    with pytest.raises(DatabaseUnavailable):
        sweeping.sweep()
    sweeping.sweeper.sweep_in_turn(sweeping.events.extend)  # the timer's way: logged, and that is all
    away.engine.dispose()
    assert sweeping.store.size_of(waiting) == 7
    assert sweeping.is_whole(idle)
    sweeping.sweeper._transactions = present
    assert (sweeping.sweep()["blobs"], sweeping.is_whole(idle)) == (1, False)


@SQLITE
def test_a_clock_that_jumps_loses_nothing_that_is_named(sweeping: Sweeping) -> None:
    """Ten years forward make every blob look idle; what is named, or named while it waits, stays."""
    _, (named,) = saved(sweeping, b"named")
    late = sweeping.documents.create(content=b"named late")
    for key in (named, late["path"]):
        sweeping.age(key, 3650 * DAYS)
    assert sweeping.sweep()["condemned"] == 1
    assert sweeping.documents.apply(late).outcomes[0]["ok"]
    sweeping.wait()
    sweeping.sweep_all()
    assert sweeping.is_whole(named)
    assert sweeping.is_whole(late["path"])


@SQLITE
def test_a_blob_that_was_relied_on_after_it_was_listed_stays(sweeping: Sweeping) -> None:
    """The touch is seen on what is about to go, whatever the clock says."""
    key = sweeping.idle_blob(b"content")
    (idle,), _ = sweep.idle_blobs(sweeping.path(key).parent, time.time_ns())
    sweeping.age(key, 5 * DAYS)  # another time than the listed one
    assert not sweep.condemn(sweeping.store, idle)
    assert sweeping.is_whole(key)


@SQLITE
def test_a_condemned_blob_waits_anew_after_a_restart(sweeping: Sweeping) -> None:
    """Waiting is measured by one process on a clock that nobody sets; a new one begins again."""
    key = sweeping.idle_blob(b"orphan")
    sweeping.sweep()
    sweeping.wait()
    sweeping.restart()
    assert sweeping.sweep()["blobs"] == 0
    assert sweeping.store.size_of(key) == 6
    sweeping.wait()
    assert sweeping.sweep()["blobs"] == 1


@SQLITE
def test_a_blob_that_is_condemned_twice_waits_twice(sweeping: Sweeping) -> None:
    """The time of an earlier stay does not count."""
    key = sweeping.idle_blob(b"orphan")
    sweeping.sweep()
    sweeping.wait()
    sweeping.store.reuse(key)  # back in its place
    sweep.put_back(sweeping.store, key)
    sweeping.age(key)
    assert sweeping.sweep()["condemned"] == 1
    assert sweeping.sweep()["blobs"] == 0
    sweeping.wait()
    assert sweeping.sweep()["blobs"] == 1


@SQLITE
def test_a_change_that_names_a_condemned_blob_fetches_it_back(sweeping: Sweeping) -> None:
    """It is durable in its place before the row is; what lay aside goes."""
    documents = sweeping.documents
    change = {**documents.create(), "path": sweeping.idle_blob(b"condemned")}
    sweeping.sweep()
    assert not sweeping.path(change["path"]).exists()
    assert documents.apply(change).outcomes[0]["ok"]
    assert sweeping.is_whole(change["path"])
    sweeping.wait()
    sweeping.sweep()
    assert not list(sweeping.store.condemned.iterdir())
    assert sweeping.is_whole(change["path"])


@SQLITE
def test_a_pass_goes_on_where_the_last_one_stopped(sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little a pass may do, all are reached, and room for condemned blobs is never exceeded."""
    monkeypatch.setattr(sweeper_module, "LISTED_AT_ONCE", 2)
    monkeypatch.setattr(sweeper_module, "CONDEMNED_MAX", 3)
    orphans = [sweeping.idle_blob(b"orphan %d" % n) for n in range(20)]
    gone = 0
    for _ in range(60):
        gone += sweeping.sweep()["blobs"]
        assert len(list(sweeping.store.condemned.iterdir())) <= 3
        sweeping.wait()
        if gone == len(orphans):
            break
    assert gone == len(orphans)
    assert sweeping.sweep()["complete"]


@SQLITE
def test_one_sweeps_at_a_time(sweeping: Sweeping) -> None:
    """Whatever the leases say: the store itself is locked."""
    with sweep.exclusively(sweeping.store) as alone:
        assert alone
        with pytest.raises(Unavailable):
            sweeping.sweep()


def test_the_lease_keeps_the_turn_with_one_process(sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process leaves the store alone until the lease has run out."""
    orphan = sweeping.idle_blob(b"orphan")
    sweeping.sweeper.sweep_in_turn(sweeping.events.extend)
    assert not sweeping.path(orphan).exists()
    second = sweeping.idle_blob(b"second")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    sweeping.restart()
    sweeping.sweeper.sweep_in_turn(sweeping.events.extend)
    assert sweeping.path(second).exists()


def test_the_preview_says_what_will_go_and_changes_nothing(sweeping: Sweeping) -> None:
    """Its numbers are those of the passes that follow."""
    saved(sweeping, b"old", b"new")
    sweeping.idle_blob(b"orphan!")
    sweeping.backup_reports(0)
    before = sorted(p for p in sweeping.store.root.rglob("*") if p.is_file())
    preview = sweeping.sweeper.preview()
    assert {name: preview[name] for name in ("blobs", "bytes", "uploads", "keys", "trash", "kept_for_backup")} == {
        "blobs": 1, "bytes": 7, "uploads": 0, "keys": 0, "trash": 0, "kept_for_backup": 1,
    }  # fmt: skip
    assert preview["complete"]
    assert sorted(p for p in sweeping.store.root.rglob("*") if p.is_file()) == before
    sweeping.sweep()
    assert sweeping.sweeper.preview() == preview  # a condemned one still counts
    sweeping.wait()
    report = sweeping.sweep()
    assert (report["blobs"], report["bytes"]) == (1, 7)


def test_old_keys_of_requests_go(sweeping: Sweeping) -> None:
    """After 24 hours a key may be used again, and its row is gone."""
    documents = sweeping.documents
    for n in range(2):
        change: Change = {**documents.create(), "idempotency": {"key": f"k{n}", "fingerprint": "f" * 64}}
        assert documents.apply(change).outcomes[0]["ok"]
    old = update(IdempotencyKeyRow).where(IdempotencyKeyRow.key == "k0")
    documents.db.write(lambda s: s.execute(old.values(created_at=now() - timedelta(hours=25))))
    assert sweeping.sweeper.preview()["keys"] == 1
    assert sweeping.sweep()["keys"] == 1
    assert sweeping.sweep()["keys"] == 0


def in_the_trash(documents: Documents, days: float, name: str = "a") -> int:
    """A file that has been in the trash for so long."""
    file = documents.apply(documents.create(name)).outcomes[0]["file"]
    documents.apply({"op": "delete", "by": None, "file_id": file["id"]})
    moment = now() - timedelta(days=days)
    documents.db.write(lambda s: s.execute(update(FileRow).where(FileRow.id == file["id"]).values(deleted_at=moment)))
    return int(file["id"])


def test_the_trash_is_emptied_by_age(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lay there longer than the setting is removed for good, with an event each; younger files stay."""
    monkeypatch.setattr(trash, "REMOVED_AT_ONCE", 2)
    sweeping = Sweeping(documents, trash_days=30)
    old = [in_the_trash(documents, 31, f"old{n}") for n in range(5)]
    young = in_the_trash(documents, 29)
    assert sweeping.sweeper.preview()["trash"] == 5
    assert sweeping.sweep()["trash"] == 5
    assert sorted((e["id"], e["type"], e["permanent"], e["version"], e["by"]) for e in sweeping.events) == [
        (file_id, "File_delete", True, 3, None) for file_id in old
    ]
    assert documents.db.read(lambda s: s.query(FileRow.id).all()) == [(young,)]


def test_a_held_file_stays_in_the_trash(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it was there; it holds up no other, and goes when the hold is over."""
    monkeypatch.setattr(trash, "REMOVED_AT_ONCE", 1)
    sweeping = Sweeping(documents, trash_days=30)
    held, other = in_the_trash(documents, 100, "held"), in_the_trash(documents, 31, "other")
    documents.db.write(lambda s: note_hold(s, documents.user_id, held, 1, "lawsuit", Actor()))
    assert sweeping.sweeper.preview()["trash"] == 1
    assert (sweeping.sweep()["trash"], [event["id"] for event in sweeping.events]) == (1, [other])
    documents.db.write(lambda s: note_release(s, held, 1, Actor()))
    assert sweeping.sweep()["trash"] == 1


@SQLITE
def test_the_trash_is_kept_without_the_setting(documents: Documents) -> None:
    """The default: for ever."""
    sweeping = Sweeping(documents)
    in_the_trash(documents, 3650)
    assert sweeping.sweeper.preview()["trash"] == 0
    assert sweeping.sweep()["trash"] == 0
    assert sweeping.events == []


@SQLITE
def test_a_file_that_is_restored_meanwhile_is_not_removed(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal is for the version that lay in the trash."""
    sweeping = Sweeping(documents, trash_days=30)
    file_id = in_the_trash(documents, 31)
    apply: Callable[..., Any] = trash.apply_changes

    def restore_first(*arguments: Any) -> Any:
        documents.apply({"op": "restore", "by": None, "file_id": file_id})
        return apply(*arguments)

    monkeypatch.setattr(trash, "apply_changes", restore_first)
    assert sweeping.sweep()["trash"] == 0
    assert documents.db.read(lambda s: s.get(FileRow, file_id).trashed) is False
