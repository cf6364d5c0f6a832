"""Whose backup directory it is, and who may write there."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from backup.errors import DirectoryGone, Refused
from backup.home import MARKER, RECORD, Home
from tests.support.journal import EPOCH

OTHER_EPOCH = EPOCH.replace("1", "9")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "backups", tmp_path / "data")


def first_start(home: Home) -> None:
    """What the engine does at the very first start."""
    lock = home.lock()
    assert lock is not None
    home.adopt(home.initialise(EPOCH))
    lock.release()


@pytest.mark.parametrize("prepared", ["missing", "empty", "lost+found", "lock left by an earlier try"])
def test_the_first_start_marks_an_empty_directory(home: Home, tmp_path: Path, prepared: str) -> None:
    """Missing, empty or a new file system: the first start may begin there, and the id is on record."""
    if prepared != "missing":
        home.root.mkdir()
    if prepared == "lost+found":
        (home.root / "lost+found").mkdir()
    if prepared.startswith("lock"):
        (home.root / "docsave-backup.lock").touch()
    assert home.marker() is None
    first_start(home)
    marker = home.marker()
    assert marker is not None
    assert marker.epoch == EPOCH
    assert json.loads((home.root / MARKER).read_text()) == {"store_id": marker.store_id, "epoch": EPOCH}
    assert json.loads((tmp_path / "data" / RECORD).read_text()) == {"store_id": marker.store_id}


def test_a_directory_with_something_else_in_it_is_refused(home: Home) -> None:
    """The first start takes no directory that is already used for something."""
    home.root.mkdir()
    (home.root / "holiday.jpg").touch()
    with pytest.raises(Refused, match="not empty"):
        home.marker()


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_recorded_store_without_its_marker_is_refused(home: Home, how: str) -> None:
    """An unmounted disk leaves an empty or missing directory: nothing may be written into it."""
    first_start(home)
    shutil.rmtree(home.root)
    if how == "empty":
        home.root.mkdir()
    with pytest.raises(Refused, match="mounted"):
        home.marker()


def test_another_store_is_refused(home: Home, tmp_path: Path) -> None:
    """A wrong disk at the right place is not written to."""
    first_start(home)
    other = Home(tmp_path / "other", tmp_path / "other_data")
    first_start(other)
    with pytest.raises(Refused, match="another docsave"):
        Home(tmp_path / "other", tmp_path / "data").marker()


@pytest.mark.parametrize("content", ["", "{}", "[]", "no json", '{"store_id": 1'])
def test_an_unreadable_marker_or_record_is_refused(home: Home, tmp_path: Path, content: str) -> None:
    """Doubt about whose directory it is means no writing."""
    first_start(home)
    (tmp_path / "data" / RECORD).write_text(content)
    with pytest.raises(Refused, match="record"):
        home.marker()
    (home.root / MARKER).unlink()
    (home.root / MARKER).write_text(content)
    with pytest.raises(Refused, match="marker"):
        home.marker()


def test_a_marker_without_a_record_is_still_the_marker(home: Home, tmp_path: Path) -> None:
    """A crash between marker and record, or a lost data directory: the epoch then decides whose it is."""
    first_start(home)
    (tmp_path / "data" / RECORD).unlink()
    marker = home.marker()
    assert marker is not None
    assert not home.is_recorded(marker)
    with pytest.raises(Refused) as refused:
        marker.require_epoch(OTHER_EPOCH)
    assert refused.value.state == "epoch_changed"
    marker.require_epoch(EPOCH)
    home.adopt(marker)
    assert home.is_recorded(marker)


@pytest.mark.parametrize(("code", "state"), [(errno.EROFS, "read_only"), (errno.ENOSPC, "disk_full")])
def test_a_disk_that_takes_nothing_is_told_apart(
    home: Home, monkeypatch: pytest.MonkeyPatch, code: int, state: str
) -> None:
    """At the start, too, the state is that of the disk; another error is what it is."""

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    home.root.mkdir(exist_ok=True)
    monkeypatch.setattr("backup.home.os.open", refuse)
    with pytest.raises(Refused, match=state.partition("_")[0]) as refused:
        home.lock()
    assert refused.value.state == state
    monkeypatch.setattr("backup.trouble._STATES", {})
    with pytest.raises(OSError, match=os.strerror(code)):
        home.lock()


def test_one_process_has_the_lock(home: Home) -> None:
    """A second one gets None until the first lets go."""
    first = home.lock()
    assert first is not None
    assert home.lock() is None
    first.release()
    first.release()
    second = home.lock()
    assert second is not None
    second.release()


def test_the_seal_notices_that_the_directory_was_exchanged(home: Home) -> None:
    """A marker that is gone, or another file with the same text, breaks the seal."""
    first_start(home)
    seal = home.seal()
    seal()
    text = (home.root / MARKER).read_text()
    (home.root / MARKER).rename(home.root / "aside")
    with pytest.raises(DirectoryGone):
        seal()
    (home.root / MARKER).write_text(text)
    with pytest.raises(DirectoryGone):
        seal()
