"""The history directory: what an entry is, and that nothing is ever overwritten."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from backup.content import Source, copy_content
from backup.errors import Cancelled, EntryConflict, MalformedEvent
from backup.history import History
from docsave_services.errors import BlobDamaged, BlobMissing
from tests.support.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "store")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "backup"
    path.mkdir()
    return path


@pytest.fixture
def history(root: Path, journal: Journal) -> History:
    return History(root, journal.blobs)


def files_below(root: Path) -> dict[str, bytes]:
    """Every file's relative path and bytes."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def inodes(root: Path) -> dict[Path, int]:
    """Which file each path is."""
    return {path: path.stat().st_ino for path in root.rglob("*")}


def object_of(root: Path, sha256: str) -> Path:
    return root / "objects" / sha256[:2] / sha256[2:4] / sha256


def no_links(code: int) -> Any:
    def link(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    return link


def test_an_entry_is_the_content_the_event_and_a_shared_object(history: History, journal: Journal, root: Path) -> None:
    """The layout of the contract: exact bytes, the event as JSON, one inode for content and object, all read-only."""
    event = journal.add(b"exact bytes", name="Bericht für Zoë.pdf")
    assert not history.write(event).repeated
    directory = root / "history/3/7"
    content = directory / "v000001_20261124T101500Z_Bericht für Zoë.pdf"
    assert sorted(p.name for p in directory.iterdir()) == ["v000001.json", content.name]
    assert content.read_bytes() == b"exact bytes"
    assert json.loads((directory / "v000001.json").read_text()) == event
    assert '"name": "Bericht für Zoë.pdf"' in (directory / "v000001.json").read_text()
    assert content.samefile(object_of(root, event["sha256"]))
    for path in (content, directory / "v000001.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_equal_content_is_stored_once(history: History, journal: Journal, root: Path) -> None:
    """Ten files with the same bytes are ten names of one inode."""
    for file_id in range(1, 11):
        history.write(journal.add(b"same", file_id=file_id))
    objects = [p for p in (root / "objects").rglob("*") if p.is_file()]
    assert [p.stat().st_nlink for p in objects] == [11]


def test_a_deletion_is_the_event_alone(history: History, journal: Journal, root: Path) -> None:
    """No content is written or removed."""
    history.write(journal.add(b"one"))
    before = files_below(root)
    history.write(journal.add(None, version=2))
    after = files_below(root)
    assert set(after) - set(before) == {"history/3/7/v000002.json"}
    assert {k: after[k] for k in before} == before


def test_a_repeat_changes_nothing(history: History, journal: Journal, root: Path) -> None:
    """The same event again, also in a new process, leaves every file as it was."""
    event = journal.add(b"one")
    history.write(event)
    before = inodes(root)
    assert history.write(event).repeated
    assert History(root, journal.blobs).write(event).repeated
    assert inodes(root) == before


CHANGED = [{"event_id": 9}, {"name": "other.pdf"}, {"size": 99}, {"type": "File_update"}]
CHANGED += [{"folder": "elsewhere"}, {"labels": {"deal": "1"}}]


@pytest.mark.parametrize("changed", CHANGED)
def test_another_event_for_a_written_version_is_a_conflict(
    history: History, journal: Journal, root: Path, changed: dict[str, Any]
) -> None:
    """What is there stays, whichever field differs."""
    event = journal.add(b"one")
    history.write(event)
    before = files_below(root)
    with pytest.raises(EntryConflict):
        history.write({**event, **changed})  # type: ignore[typeddict-item]
    assert files_below(root) == before


def test_an_entry_of_the_first_release_is_complete(history: History, journal: Journal, root: Path) -> None:
    """It has fewer fields; the journal's event with more of them is a repeat of it and changes nothing."""
    event = journal.add(b"one")
    first = {key: value for key, value in event.items() if key not in ("folder", "labels", "permanent")}
    history.write(first)  # type: ignore[arg-type]
    before = inodes(root)
    assert history.write(event).repeated
    assert inodes(root) == before
    assert json.loads((root / "history/3/7/v000001.json").read_bytes()) == first


def test_other_content_for_a_written_version_is_a_conflict(history: History, journal: Journal, root: Path) -> None:
    """Also before the JSON completed the entry: content of unknown origin is never replaced."""
    first, second = journal.add(b"one"), journal.add(b"two")
    history.write(first)
    (root / "history/3/7/v000001.json").unlink()
    before = files_below(root)
    with pytest.raises(EntryConflict):
        history.write(second)
    with pytest.raises(EntryConflict):
        history.write({**second, "name": "another name"})
    assert files_below(root) == before


def test_a_rotten_copy_is_named_not_replaced(history: History, journal: Journal, root: Path) -> None:
    """A repeat that finds flipped bits in the copy says so and leaves it to the operator."""
    event = journal.add(b"one")
    history.write(event)
    content = next((root / "history/3/7").glob("v000001_*"))
    content.chmod(0o644)
    content.write_bytes(b"onf")
    with pytest.raises(EntryConflict):
        history.write(event)
    assert content.read_bytes() == b"onf"


@pytest.mark.parametrize("damage", [b"bad", b"", b"longer than before"])
def test_a_damaged_object_is_set_aside_and_written_anew(
    history: History, journal: Journal, root: Path, damage: bytes
) -> None:
    """A new version does not inherit a rotten object; the rotten one is kept under another name."""
    event = journal.add(b"one", file_id=1)
    item = object_of(root, event["sha256"])
    item.parent.mkdir(parents=True)
    for number in (1, 2):
        item.unlink(missing_ok=True)
        item.write_bytes(damage)
        written = history.write(journal.add(b"one", file_id=number))
        assert written.set_aside == f"damaged/{item.relative_to(root)}{'-2' if number == 2 else ''}"
        assert (root / written.set_aside).read_bytes() == damage
        assert item.read_bytes() == b"one"
        assert next((root / f"history/3/{number}").glob("v000001_*")).read_bytes() == b"one"


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_the_content_is_copied_once(
    history: History, journal: Journal, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The entry is the same; there are no objects, which would double the space."""
    monkeypatch.setattr(os, "link", no_links(code))
    event = journal.add(b"one")
    history.write(event)
    assert history.write(event).repeated
    assert next((root / "history/3/7").glob("v000001_*")).read_bytes() == b"one"
    assert not (root / "objects").exists()
    assert list(root.rglob(".tmp-*")) == []


def test_an_object_with_too_many_names_is_copied(
    history: History, journal: Journal, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ext4 ends at 65,000 links: the next entry of that content is a file of its own."""
    history.write(journal.add(b"", file_id=1))
    monkeypatch.setattr(os, "link", no_links(errno.EMLINK))
    event = journal.add(b"", file_id=2)
    history.write(event)
    content = next((root / "history/3/2").glob("v000001_*"))
    assert not content.samefile(object_of(root, event["sha256"]))


def test_a_full_disk_leaves_nothing_behind(
    history: History, journal: Journal, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails leaves neither a temporary file nor an entry, and succeeds later."""
    event = journal.add(b"one")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("backup.content.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            history.write(event)
    assert files_below(root) == {}
    history.write(event)
    assert len(files_below(root)) == 3


def test_a_missing_or_damaged_blob_gives_no_entry(history: History, journal: Journal, root: Path) -> None:
    """The copy is compared with the event's hash and size while it is made."""
    event = journal.add(b"one")
    blob = journal.blob_path(event)
    blob.chmod(0o640)
    blob.write_bytes(b"onf")
    with pytest.raises(BlobDamaged):
        history.write(event)
    blob.unlink()
    with pytest.raises(BlobMissing):
        history.write(event)
    assert files_below(root) == {}


def test_a_wrong_size_is_damage(tmp_path: Path, journal: Journal) -> None:
    """Size and hash must both match."""
    event = journal.add(b"one")
    source = Source(lambda: journal.blobs.open(event["path"]), hashlib.sha256(b"one").hexdigest(), 4)
    with pytest.raises(BlobDamaged):
        copy_content(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_cancelled_copy_leaves_nothing(history: History, journal: Journal, root: Path) -> None:
    """A stop in the middle of a large copy is prompt and clean."""
    with pytest.raises(Cancelled):
        history.write(journal.add(b"one"), lambda: True)
    assert files_below(root) == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "../../x"},
        {"user_id": "7/8"},
        {"user_id": None},
        {"version": 0},
        {"version": True},
        {"sha256": "../../../../etc/passwd"},
        {"sha256": None},
        {"at": "yesterday"},
        {"name": None},
        {"type": "File_explode"},
        {"folder": None},
        {"labels": ["a"]},
        {"labels": {"a": 1}},
        {"permanent": "yes"},
        {"permanent": True},
        {"media_type": None},
    ],
)
def test_an_event_that_is_not_one_writes_nothing(
    history: History, journal: Journal, root: Path, changed: dict[str, Any]
) -> None:
    """No field of an event leads out of the directory or into a nameless entry."""
    with pytest.raises(MalformedEvent):
        history.write({**journal.add(b"one"), **changed})  # type: ignore[typeddict-item]
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["CON", ".htaccess", "-rf", "$(id)", 'a"; filename=evil.exe', "é" * 255, "🦉" * 255, "a\x00b", "\ud800"]
)
def test_any_name_can_be_saved_and_its_exact_form_is_in_the_json(
    history: History, journal: Journal, root: Path, name: str
) -> None:
    """The file's name on disk is made safe, the JSON has the true one."""
    history.write(journal.add(b"one", name=name))
    assert json.loads((root / "history/3/7/v000001.json").read_bytes())["name"] == name
    assert next((root / "history/3/7").glob("v000001_*")).read_bytes() == b"one"


def test_the_check_is_asked_before_anything_is_written(root: Path, journal: Journal) -> None:
    """A directory that is not ours any more stays untouched."""

    def gone() -> None:
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError):
        History(root, journal.blobs, check=gone).write(journal.add(b"one"))
    assert list(root.iterdir()) == []


def test_sweeping_removes_what_other_processes_left_and_nothing_else(history: History, root: Path) -> None:
    """A temporary file of a dead process goes; entries and our own temporary files stay."""
    left = root / "objects/ab/cd/.tmp-0123456789ab-ffff"
    left.parent.mkdir(parents=True)
    kept = [root / "objects/ab/cd/object", root / "history.txt"]
    for path in [left, *kept]:
        path.touch()
    assert history.sweep() == 1
    assert not left.exists()
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize("torn", [b"", b'{"event_id": 1, "na', b"\0" * 200])
def test_a_torn_json_is_set_aside_and_written_anew(history: History, journal: Journal, root: Path, torn: bytes) -> None:
    """A crash of the system may leave one; what is not JSON is no other event that was there."""
    event = journal.add(b"one")
    history.write(event)
    path = root / "history/3/7/v000001.json"
    path.chmod(0o644)
    path.write_bytes(torn)
    written = history.write(event)
    assert (written.repeated, written.set_aside) == (False, "damaged/history/3/7/v000001.json")
    assert (root / "damaged/history/3/7/v000001.json").read_bytes() == torn
    assert json.loads(path.read_text()) == event


def test_an_fsync_that_fails_leaves_nothing_to_be_believed(
    history: History, journal: Journal, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO at any of them: no entry, and the next try writes all again (PostgreSQL, 2018)."""
    event = journal.add(b"one")
    for number in range(1, 40):
        left = [number]

        def fails(fd: int, left: list[int] = left, real: Any = os.fsync) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(errno.EIO, "Input/output error")
            real(fd)

        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fails)
            try:
                history.write(event)
            except OSError:
                assert list(root.rglob(".tmp-*")) == []
                continue
            break
    assert number > 3
    assert left[0] > 0
    assert history.write(event).repeated
    assert next((root / "history/3/7").glob("v000001_*")).read_bytes() == b"one"
