"""The blob store on real files."""

import hashlib
import os
from pathlib import Path

import pytest

from docsave_services.errors import BlobDamaged, BlobMissing
from docsave_services.storage import CHUNK_BYTES, BlobStore, StoredBlob, blob_key
from docsave_services.storage import blobs as blobs_module


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path / "blobs")
    store.prepare()
    return store


def save(store: BlobStore, content: bytes, piece: int = CHUNK_BYTES) -> str:
    staged = store.stage()
    for start in range(0, len(content), piece):
        staged.write(content[start : start + piece])
    return staged.commit().key


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_content_comes_back_byte_for_byte(store: BlobStore, size: int) -> None:
    """Under the key of its hash, whatever its size."""
    content = os.urandom(size)
    key = save(store, content, 70_001)
    assert key == blob_key(hashlib.sha256(content).hexdigest())
    assert b"".join(store.read_verified(key)) == content
    assert store.size_of(key) == size
    assert not list(store.staging.iterdir())


def test_equal_content_is_stored_once(store: BlobStore) -> None:
    """The second upload finds the first one's blob."""
    key = save(store, b"same")
    inode = (store.root / key).stat().st_ino
    assert save(store, b"same") == key
    assert (store.root / key).stat().st_ino == inode


def test_a_torn_blob_is_replaced_by_the_next_good_upload(store: BlobStore) -> None:
    """An existing blob is looked at before it is trusted."""
    key = save(store, b"whole content")
    path = store.root / key
    path.chmod(0o600)
    path.write_bytes(b"torn")
    save(store, b"whole content")
    assert path.read_bytes() == b"whole content"


def test_discarded_content_leaves_nothing(store: BlobStore) -> None:
    """Neither a blob nor a temporary file, also when discarded twice."""
    staged = store.stage()
    staged.write(b"x" * 10)
    staged.discard()
    staged.discard()
    assert [p for p in store.root.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("position", [0, 5, CHUNK_BYTES + 3])
def test_a_flipped_bit_never_gives_a_complete_copy(store: BlobStore, position: int) -> None:
    """Reading raises before the last piece."""
    content = os.urandom(2 * CHUNK_BYTES)
    key = save(store, content)
    damaged = bytearray(content)
    damaged[position] ^= 1
    path = store.root / key
    path.chmod(0o600)
    path.write_bytes(damaged)
    got: list[bytes] = []
    with pytest.raises(BlobDamaged):
        got.extend(store.read_verified(key))
    assert sum(map(len, got)) < len(content)


@pytest.mark.parametrize(
    "key", ["", "..", "../../etc/passwd", "ab/cd/" + "0" * 64, "00/00/" + "0" * 63, "00/00/" + "0" * 64 + "\n"]
)
def test_a_key_that_is_none_is_missing(store: BlobStore, key: str) -> None:
    """No key ever points outside the store."""
    with pytest.raises(BlobMissing):
        store.size_of(key)


def test_a_failed_fsync_fails_the_save_and_leaves_nothing(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may have dropped the pages: the content is thrown away, the fsync never repeated."""
    calls = []

    def failing(fd: int) -> None:
        calls.append(fd)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(blobs_module.os, "fsync", failing)
    staged = store.stage()
    staged.write(b"content")
    with pytest.raises(OSError, match="Input/output"):
        staged.commit()
    assert len(calls) == 1
    assert [p for p in store.root.rglob("*") if p.is_file()] == []


def test_content_is_synced_before_its_name_and_the_name_before_the_answer(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of durable steps is the promise."""
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(fd: int) -> None:
        steps.append("fsync " + ("directory" if Path(f"/proc/self/fd/{fd}").resolve().is_dir() else "file"))
        real_fsync(fd)

    def replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    save(store, b"ordered")
    assert steps[0] == "fsync file"
    assert steps[-2:] == ["rename", "fsync directory"]


def test_a_directory_of_another_process_is_synced_before_it_is_relied_on(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made it may not have come to its fsync: a blob in it would vanish with it in a power cut."""
    synced: list[str] = []
    real_fsync = os.fsync

    def fsync(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").resolve()))
        real_fsync(fd)

    key = blob_key(hashlib.sha256(b"content").hexdigest())
    target = store.root / key
    target.parent.mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", fsync)
    save(store, b"content")
    assert {str(store.root), str(target.parent.parent), str(target.parent)} <= set(synced)
    before = len(synced)
    save(store, b"content")
    assert len(synced) - before == 3  # the new file, the existing blob, its directory


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (5, CHUNK_BYTES + 5), (CHUNK_BYTES - 1, 2 * CHUNK_BYTES + 10)])
def test_a_part_is_those_bytes(store: BlobStore, start: int, stop: int) -> None:
    """In pieces of bounded size, wherever it begins."""
    content = os.urandom(2 * CHUNK_BYTES + 10)
    pieces = list(store.read_part(save(store, content), len(content), start, stop))
    assert b"".join(pieces) == content[start:stop]
    assert max(map(len, pieces)) <= CHUNK_BYTES


def test_a_part_of_a_blob_that_shrinks_ends_in_an_error(store: BlobStore) -> None:
    """Never fewer bytes than were asked for without a word."""
    key = save(store, b"x" * (CHUNK_BYTES + 10))
    pieces = store.read_part(key, CHUNK_BYTES + 10, 0, CHUNK_BYTES + 10)
    assert len(next(pieces)) == CHUNK_BYTES
    (store.root / key).chmod(0o640)
    os.truncate(store.root / key, CHUNK_BYTES)
    with pytest.raises(BlobDamaged):
        next(pieces)


def test_another_size_is_damage(store: BlobStore) -> None:
    """Seen without reading the content."""
    key = save(store, b"abc")
    store.check_size(key, 3)
    with pytest.raises(BlobDamaged):
        store.check_size(key, 4)
    with pytest.raises(BlobDamaged):
        next(store.read_part(key, 4, 0, 1))
    with pytest.raises(BlobMissing):
        store.check_size(blob_key("ab" * 32), 3)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_content_that_is_not_kept_still_has_its_name(store: BlobStore, kept: int) -> None:
    """From the moment on when it is not to be kept nothing of it is on disk; its key and size come out all the same."""
    staged = store.stage()
    for n in range(2):
        if n == kept:
            staged.keep_nothing()
        staged.write(b"piece")
    if kept == 2:
        staged.keep_nothing()
    assert list(store.staging.iterdir()) == []
    sha256 = hashlib.sha256(b"piecepiece").hexdigest()
    assert staged.commit() == StoredBlob(blob_key(sha256), 10, sha256)
    with pytest.raises(BlobMissing):
        store.size_of(blob_key(sha256))


def test_equal_content_that_is_there_is_relied_on(store: BlobStore) -> None:
    """Content that is not kept may be there already; then it counts as new, so that nobody sweeps it away."""
    key = save(store, b"content")
    os.utime(store.root / key, (1, 1))
    staged = store.stage()
    staged.keep_nothing()
    staged.write(b"content")
    assert staged.commit().key == key
    assert (store.root / key).stat().st_mtime > 1
