"""Taking blobs aside, putting them back, removing them, on real files."""

import os
import time
from pathlib import Path

import pytest

from docsave_services.errors import BlobMissing
from docsave_services.storage import BlobStore, sweep

LONG_AGO = time.time() - 7 * 24 * 3600


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path / "blobs")
    store.prepare()
    store.condemned.mkdir()
    return store


def save(store: BlobStore, content: bytes = b"content") -> str:
    staged = store.stage()
    staged.write(content)
    key = staged.commit().key
    os.utime(store.root / key, (LONG_AGO, LONG_AGO))
    return key


def idle(store: BlobStore) -> list[sweep.Idle]:
    return [blob for directory in sweep.directories(store) for blob in sweep.idle_blobs(directory, time.time_ns())[0]]


def condemn(store: BlobStore, content: bytes = b"content") -> str:
    key = save(store, content)
    assert [sweep.condemn(store, blob) for blob in idle(store)] == sweep.condemned(store, 10)
    return key


def test_only_blobs_are_listed(store: BlobStore) -> None:
    """Neither what waits nor what arrives nor what does not belong there."""
    key = save(store)
    condemn(store, b"condemned")
    store.stage().write(b"staged")
    (store.root / key).with_name("README").write_bytes(b"stranger")
    (store.root / "lost+found").mkdir()
    sweep.put_back(store, key)
    assert {blob.key for blob in idle(store)} == {key}


def test_a_condemned_blob_is_still_read(store: BlobStore) -> None:
    """A row may name it for the moment until the sweeper has looked again."""
    key = condemn(store)
    assert not (store.root / key).exists()
    assert b"".join(store.read_verified(key, 7)) == b"content"
    assert store.size_of(key) == 7


@pytest.mark.parametrize("rely", [BlobStore.reuse, BlobStore.claim])
def test_relying_on_a_condemned_blob_fetches_it_back_as_new(store: BlobStore, rely) -> None:
    """It is in its place, touched, before the caller goes on."""
    key = condemn(store)
    assert rely(store, key) == 7
    assert (store.root / key).stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("rely", [BlobStore.reuse, BlobStore.claim, BlobStore.open, BlobStore.size_of])
def test_a_removed_blob_is_missing(store: BlobStore, rely) -> None:
    """Whoever comes too late is told so, and can save it again."""
    key = condemn(store)
    assert [sweep.remove(store, aside) for aside in sweep.condemned(store, 10)] == [True]
    with pytest.raises(BlobMissing):
        rely(store, key)
    assert save(store) == key


def test_a_touch_in_the_last_moment_saves_a_blob(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the rename somebody relied on it: that is seen afterwards, and it comes back at once."""
    key = save(store)
    real_rename = os.rename

    def touched_before(source, target):
        assert store.reuse(key) == 7
        real_rename(source, target)

    monkeypatch.setattr(os, "rename", touched_before)
    assert [sweep.condemn(store, blob) for blob in idle(store)] == [None]
    assert (store.root / key).exists()
    assert sweep.condemned(store, 10) == []


def test_what_was_fetched_back_meanwhile_is_not_removed(store: BlobStore) -> None:
    """A stay that ended and began anew is another one."""
    key = condemn(store)
    (earlier,) = sweep.condemned(store, 10)
    store.reuse(key)
    sweep.put_back(store, key)
    os.utime(store.root / key, (LONG_AGO, LONG_AGO))
    condemn(store)
    assert not sweep.remove(store, earlier)
    assert store.size_of(key) == 7


def test_putting_back_never_overwrites(store: BlobStore) -> None:
    """A blob that was saved anew stays, and one that differs is kept beside it for people to look at."""
    key = condemn(store)
    save(store)
    inode = (store.root / key).stat().st_ino
    sweep.put_back(store, key)
    assert (store.root / key).stat().st_ino == inode
    assert sweep.condemned(store, 10) == []
    aside = store.condemned / Path(key).name
    aside.write_bytes(b"torn")
    sweep.put_back(store, key)
    assert (store.root / key).stat().st_ino == inode
    assert aside.read_bytes() == b"torn"


def test_putting_back_is_durable_before_the_other_name_goes(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut at any moment leaves at least one name on disk."""
    key = condemn(store)
    steps: list[str] = []
    real_fsync, real_link, real_unlink = os.fsync, os.link, os.unlink

    def step(name: str, real):
        def called(*args, **kwargs):
            steps.append(name)
            return real(*args, **kwargs)

        return called

    monkeypatch.setattr(os, "fsync", step("fsync", real_fsync))
    monkeypatch.setattr(os, "link", step("link", real_link))
    monkeypatch.setattr(os, "unlink", step("unlink", real_unlink))
    sweep.put_back(store, key)
    assert steps == ["link", "fsync", "unlink"]


def test_a_file_system_without_links_will_do(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a rename puts the blob back."""

    def no_links(*_args, **_kwargs):
        raise PermissionError(1, "Operation not permitted")

    key = condemn(store)
    monkeypatch.setattr(os, "link", no_links)
    sweep.put_back(store, key)
    assert (store.root / key).read_bytes() == b"content"
    assert sweep.condemned(store, 10) == []


def test_a_claim_needs_no_right_to_write(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever saved the content has touched it."""

    def read_only(*_args, **_kwargs):
        raise OSError(30, "Read-only file system")

    key = save(store)
    monkeypatch.setattr(os, "utime", read_only)
    assert store.claim(key) == 7


def test_bodies_that_died_are_swept_by_age_alone(store: BlobStore) -> None:
    """What nobody has written to for a day goes; a younger upload is finished as ever."""
    dead, living = store.staging / "dead", store.stage()
    dead.write_bytes(b"torso")
    os.utime(dead, (time.time() - sweep.STAGED_SECONDS - 60,) * 2)
    living.write(b"whole")
    assert sweep.sweep_staging(store, dry_run=True) == 1
    assert sweep.sweep_staging(store) == 1
    assert not dead.exists()
    assert store.size_of(living.commit().key) == 5
