"""Unfinished uploads on real files: what they hold, who holds them, and when they end."""

import fcntl
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from docsave_services.errors import BlobMissing, NotFound, UploadExpired
from docsave_services.storage import (
    BlobStore,
    HeldUpload,
    UnfinishedUploads,
    UploadState,
    sweep_unfinished,
    unfinished_sweep,
)

LIFE = 100.0
STATE = UploadState(length=10, metadata="filename YQ==", name="a", folder="f", labels={"a": "1"})
SHA256_OF_DIGITS = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path / "blobs")
    store.prepare()
    return store


@pytest.fixture
def uploads(store: BlobStore) -> UnfinishedUploads:
    return UnfinishedUploads(store, LIFE)


def begun(uploads: UnfinishedUploads, content: bytes = b"", user_id: int = 1, state: UploadState = STATE) -> str:
    held = uploads.create(user_id, state)
    held.append([content])
    held.sync()
    held.release()
    return held.id


def held_again(uploads: UnfinishedUploads, upload_id: str, user_id: int = 1) -> HeldUpload:
    held = uploads.hold(user_id, upload_id)
    assert held is not None
    return held


def age(store: BlobStore, upload_id: str, seconds: float) -> None:
    """Let all of an upload be as old."""
    moment = time.time() - seconds
    for path in store.root.rglob(f"{upload_id}*"):
        for each in (*path.glob("*"), path):
            os.utime(each, (moment, moment))


def test_an_upload_goes_on_where_it_stopped(uploads: UnfinishedUploads) -> None:
    """State and bytes come back as they were."""
    upload_id = begun(uploads, b"01234")
    held = held_again(uploads, upload_id)
    assert (held.state, held.offset, held.complete) == (STATE, 5, False)
    held.append([b"56", b"789"])
    assert (held.offset, held.complete) == (10, True)
    assert held.content.read_bytes() == b"0123456789"
    held.release()


@pytest.mark.parametrize(("user_id", "name"), [(2, None), (1, "0" * 32), (1, "../1"), (1, ".."), (1, "")])
def test_nobody_finds_what_is_not_theirs(uploads: UnfinishedUploads, user_id: int, name: str | None) -> None:
    """Another user, an unknown name, or one that is no name of ours."""
    upload_id = begun(uploads) if name is None else name
    for find in (uploads.hold, uploads.finished, uploads.forget_finished):
        with pytest.raises(NotFound):
            find(user_id, upload_id)


def test_one_holds_an_upload_and_hears_that_it_is_wanted(uploads: UnfinishedUploads) -> None:
    """A second one gets it only after the release; until then the file ``wanted`` tells the first."""
    held = held_again(uploads, begun(uploads))
    assert not held.wanted.exists()
    assert uploads.hold(1, held.id) is None
    assert held.wanted.exists()
    held.release()
    again = held_again(uploads, held.id)
    assert not again.wanted.exists()
    again.discard()
    again.release()
    with pytest.raises(NotFound):
        uploads.hold(1, held.id)


def test_an_unverified_piece_does_not_survive_its_process(uploads: UnfinishedUploads) -> None:
    """What began at the mark is gone when somebody holds the upload next, and so is the mark."""
    held = held_again(uploads, begun(uploads, b"0123"))
    held.save(replace(STATE, unverified_from=4))
    held.append([b"XXX"])
    held.release()  # as the kernel does for a process that dies
    held = held_again(uploads, held.id)
    assert (held.offset, held.state) == (4, STATE)
    assert held.content.read_bytes() == b"0123"
    held.release()


def test_who_holds_an_upload_knows_only_of_bytes_on_disk(
    uploads: UnfinishedUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process that died had written is synced before its size is anybody's offset."""
    held = held_again(uploads, begun(uploads, b"0123"))
    held.append([b"456"])
    held.release()
    synced = []
    fsync, content = os.fsync, held.content.stat()

    def watched(fd: int) -> None:
        fsync(fd)
        if os.path.samestat(os.fstat(fd), content):
            synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fsync", watched)
    held = held_again(uploads, held.id)
    assert [held.offset] == synced == [7]
    held.release()


def test_an_upload_whose_fsync_fails_is_over(uploads: UnfinishedUploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what is on disk then, so nothing of it is ever reported."""
    held = held_again(uploads, begun(uploads, b"0123"))
    held.append([b"4"])
    fsync, content = os.fsync, held.content.stat()

    def fail(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), content):
            raise OSError("disk")
        fsync(fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk"):
            held.sync()
    held.release()
    with pytest.raises(NotFound):
        uploads.hold(1, held.id)


def test_a_whole_upload_becomes_a_blob_without_a_copy(uploads: UnfinishedUploads, store: BlobStore) -> None:
    """The file itself is renamed, read-only and as new; asking again finds the blob."""
    upload_id = begun(uploads, b"0123456789")
    age(store, upload_id, 50)
    held = held_again(uploads, upload_id)
    inode = held.content.stat().st_ino
    held.save(replace(held.state, sha256=SHA256_OF_DIGITS))
    key = held.move_into(store)
    blob = (store.root / key).stat()
    assert (blob.st_ino, blob.st_mode & 0o777) == (inode, 0o440)
    assert time.time() - blob.st_mtime < 10
    assert held.move_into(store) == key
    held.release()
    assert held_again(uploads, upload_id).offset == 10
    (store.root / key).unlink()
    with pytest.raises(BlobMissing):
        held.move_into(store)


def test_equal_content_is_stored_once(uploads: UnfinishedUploads, store: BlobStore) -> None:
    """The blob that is there is used, and the upload's bytes go."""
    held = [held_again(uploads, begun(uploads, b"0123456789")) for _ in range(2)]
    for one in held:
        one.save(replace(one.state, sha256=SHA256_OF_DIGITS))
    assert held[0].move_into(store) == held[1].move_into(store)
    assert not held[1].content.exists()


def test_a_finished_upload_is_remembered_for_its_life(uploads: UnfinishedUploads, store: BlobStore) -> None:
    """Its state without its bytes; afterwards it has expired, and a sweep takes it."""
    held = held_again(uploads, begun(uploads, b"0123456789"))
    done = replace(STATE, sha256=SHA256_OF_DIGITS, file_id=7)
    held.save(done)
    held.finish()
    held.finish()
    held.release()
    with pytest.raises(NotFound):
        uploads.hold(1, held.id)
    assert uploads.finished(1, held.id) == done
    assert uploads.of_user(1).count == 0
    assert sweep_unfinished(store, LIFE) == 0
    age(store, held.id, LIFE + 1)
    with pytest.raises(UploadExpired):
        uploads.finished(1, held.id)
    assert sweep_unfinished(store, LIFE) == 1
    with pytest.raises(NotFound):
        uploads.finished(1, held.id)


def test_what_a_user_has_under_way_is_counted(uploads: UnfinishedUploads) -> None:
    """Announced lengths; of an upload without one, what has come."""
    begun(uploads, b"0")
    begun(uploads, b"012", state=replace(STATE, length=None))
    begun(uploads, user_id=2)
    found = uploads.of_user(1)
    assert (found.count, found.size) == (2, 13)


def test_an_upload_ends_when_it_is_left_alone(uploads: UnfinishedUploads, store: BlobStore) -> None:
    """Its life counts from the last byte; the sweep takes what is past it, and nothing else."""
    old, young = begun(uploads, b"0"), begun(uploads, b"0")
    age(store, old, LIFE + 1)
    age(store, young, LIFE - 10)
    with pytest.raises(UploadExpired):
        uploads.hold(1, old)
    held = held_again(uploads, young)
    assert time.time() < held.expires_at(LIFE) < time.time() + 11
    held.append([b"1"])
    assert held.expires_at(LIFE) > time.time() + LIFE - 10
    held.release()
    assert sweep_unfinished(store, LIFE, dry_run=True) == 1
    assert sweep_unfinished(store, LIFE) == 1
    assert sweep_unfinished(store, LIFE, dry_run=True) == 0
    with pytest.raises(NotFound):
        uploads.hold(1, old)
    held_again(uploads, young).release()


def test_a_sweep_leaves_what_somebody_holds(uploads: UnfinishedUploads, store: BlobStore) -> None:
    """An upload that is being finished slowly is not taken from under it."""
    held = held_again(uploads, begun(uploads, b"0"))
    age(store, held.id, LIFE + 1)
    assert sweep_unfinished(store, LIFE) == 0
    held.release()
    assert sweep_unfinished(store, LIFE) == 1


def test_a_sweep_is_bounded(uploads: UnfinishedUploads, store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by time; the next one takes the rest."""
    for upload_id in [begun(uploads, user_id=user_id) for user_id in (1, 1, 2, 3)]:
        age(store, upload_id, LIFE + 1)
    assert [sweep_unfinished(store, LIFE, most=3), sweep_unfinished(store, LIFE, most=3)] == [3, 1]
    age(store, begun(uploads), LIFE + 1)
    with monkeypatch.context() as patched:
        patched.setattr(unfinished_sweep, "SWEEP_SECONDS", -1.0)
        assert sweep_unfinished(store, LIFE) == 0


def test_a_sweep_takes_what_a_crash_left_half_made_or_half_removed(
    uploads: UnfinishedUploads, store: BlobStore
) -> None:
    """A directory without a state is nobody's upload; a damaged state neither."""
    torn, damaged = begun(uploads, b"0"), begun(uploads, b"0")
    [state] = store.root.rglob(f"{torn}/state.json")
    state.unlink()
    [state] = store.root.rglob(f"{damaged}/state.json")
    state.write_text("{")
    assert uploads.of_user(1).count == 0
    for upload_id in (torn, damaged):
        with pytest.raises(NotFound):
            uploads.hold(1, upload_id)
    assert sweep_unfinished(store, LIFE) == 0
    for upload_id in (torn, damaged):
        age(store, upload_id, LIFE + 1)
    assert sweep_unfinished(store, LIFE) == 2
    assert not list(store.root.rglob(f"{torn}*"))


def test_no_descriptor_is_left_open(uploads: UnfinishedUploads) -> None:
    """Holding, being refused and releasing leave as many open files as before."""

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = open_files()
    held = uploads.create(1, STATE)
    held.append([b"0"])
    assert uploads.hold(1, held.id) is None
    held.release()
    held = held_again(uploads, held.id)
    held.discard()
    held.release()
    with pytest.raises(NotFound):
        uploads.hold(1, held.id)
    assert open_files() == before


def test_the_lock_is_the_kernels(uploads: UnfinishedUploads) -> None:
    """A lock on the upload's directory, so that it ends with the process that has it."""
    held = held_again(uploads, begun(uploads))
    fd = os.open(held.content.parent, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    held.release()
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
