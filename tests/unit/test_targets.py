"""What a further place of the backup is trusted with: nothing that was not read back, nothing of another history."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import eventlet
import pytest
from obstore.store import MemoryStore

import backup.targets.directory
from backup.chain_log import ChainView
from backup.errors import EntryConflict
from backup.home import Home
from backup.targets.bucket import BucketTarget
from backup.targets.directory import DirectoryTarget
from backup.targets.follower import Follower
from backup.targets.item import read_item
from backup.targets.target import DIVERGED, Target, TargetAway
from backup.verify import Verification
from docsave_services.errors import BlobDamaged
from docsave_services.settings import BucketSettings
from tests.support.chained import back_up
from tests.support.journal import Journal
from tests.support.waiting import wait_until

LARGE = 9 * 2**20
"""More than one request to a bucket takes."""


class Backup:
    """A backup directory with its journal, and the places beside it."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "backups"
        self.data = directory / "data"
        self.mirror = directory / "mirror"
        self.mirror.mkdir(parents=True)
        self.root.mkdir()
        self.home = Home(self.root, self.data)
        self.journal = Journal(directory / "store")
        self.home.adopt(self.home.initialise(self.journal.epoch))
        self.objects = MemoryStore()

    def copy(self) -> int:
        """Bring the directory up to date with the journal; how many entries it has."""
        back_up(self.root, self.journal)
        return len(self.journal.events)

    def directory_target(self) -> DirectoryTarget:
        return DirectoryTarget(self.mirror, self.data)

    def bucket_target(self) -> BucketTarget:
        """A bucket in this process, whose entity tags say nothing: what is there has to be read back."""
        target = BucketTarget(BucketSettings("s3://bucket/x", "http://127.0.0.1:1", "", "", ""), self.data, self.root)
        target.store._store = self.objects  # type: ignore[assignment]
        return target


@pytest.fixture
def made(tmp_path: Path) -> Backup:
    return Backup(tmp_path)


@contextlib.contextmanager
def following(made: Backup, target: Target) -> Iterator[Follower]:
    """A follower at work on ``target``."""
    follower = Follower(made.root, target, lambda: len(made.journal.events))
    thread = eventlet.spawn(follower.run)
    try:
        yield follower
    finally:
        follower.stop()
        thread.wait()


MakeTarget = Callable[[Backup], Target]
PLACES = pytest.mark.parametrize("place", [Backup.directory_target, Backup.bucket_target], ids=["mirror", "bucket"])


@PLACES
def test_every_entry_arrives(made: Backup, place: MakeTarget) -> None:
    """Contents, equal content, a deletion; the place is known to the next one who looks."""
    made.journal.add(b"one")
    made.journal.add(b"one", file_id=8)
    made.journal.add(os.urandom(LARGE), version=2)
    made.journal.add(None, version=3)
    count = made.copy()
    with following(made, place(made)) as follower:
        wait_until(lambda: follower.status()["copied"] == count, 20)
    found = place(made).open((made.root / "docsave-backup.json").read_bytes())
    assert found == ChainView(made.root).line(count)


def test_a_disk_that_keeps_other_bytes_is_found_out(made: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the mirror is read from its disk again: the place does not move past content that is not whole."""
    made.journal.add(b"sound")
    made.journal.add(b"to be spoilt", version=2)
    made.copy()
    real = backup.targets.directory.forget_cached

    def spoil(fd: int) -> None:
        """Between the writing and the reading back a byte changes, as on a disk that lies."""
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path.read_bytes() == b"to be spoilt":
            path.chmod(0o644)
            path.write_bytes(b"to be SPOILT")
        real(fd)

    monkeypatch.setattr(backup.targets.directory, "forget_cached", spoil)
    with following(made, made.directory_target()) as follower:
        failing = wait_until(lambda: follower.status()["failing"], 20)
        assert failing[0]["error"].startswith("blob_damaged")
        wait_until(lambda: follower.status()["copied"] == 1, 20)
    [found] = Verification(made.mirror, copied=1).run()["damaged"]
    assert (found["version"], found["kind"]) == (2, "content")  # `make verify` of the mirror says so, too


@pytest.mark.parametrize("size", [20, LARGE])
@pytest.mark.parametrize("change", ["flip", "cut"])
def test_a_bucket_that_keeps_other_bytes_is_found_out(made: Backup, size: int, change: str) -> None:
    """Sent whole, kept otherwise: the object is read back and is not the content that its name says."""
    made.journal.add(os.urandom(size))
    made.copy()
    target = made.bucket_target()
    [line] = ChainView(made.root).lines(1, 1)
    item = read_item(made.root, line)
    key = f"objects/{item.event['path']}"
    real = target.store._send

    def send(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        kept = bytearray(bytes(made.objects.get(key).bytes()))
        kept[-1] ^= 1
        made.objects.put(key, bytes(kept[:-1] if change == "cut" else kept))

    target.store._send = send  # type: ignore[method-assign]
    with pytest.raises(EntryConflict, match="is other content"):
        target.write(item)
    assert made.objects.list(prefix="history").collect() == []  # the entry is not there before its content is


@PLACES
@pytest.mark.parametrize("case", ["another entry", "more entries"])
def test_a_place_of_another_history_is_left_alone(made: Backup, tmp_path: Path, place: MakeTarget, case: str) -> None:
    """A directory that was set back, or replaced by an older copy of itself, and went on: the place keeps what it has,
    and says so until somebody decides."""
    made.journal.add(b"one")
    made.journal.add(b"two", version=2)
    made.copy()
    with following(made, place(made)) as follower:
        wait_until(lambda: follower.status()["copied"] == 2, 20)
    before = _everything(made)

    other = Backup(tmp_path / "other")
    other.journal.add(b"one")
    if case == "another entry":
        other.journal.add(b"not two", version=2)
        other.journal.add(b"three", version=3)
    other.copy()
    for name in ("history", "objects", "chain", "state"):
        (made.root / name).rename(tmp_path / f"old-{name}")
        (other.root / name).rename(made.root / name)
    made.journal.events = other.journal.events
    with following(made, place(made)) as follower:
        wait_until(lambda: follower.state == DIVERGED, 20)
        assert follower.reason == "entry 2 there is not that of the backup directory"
        assert follower.status()["failing"] == []
    assert _everything(made) == before


def _everything(made: Backup) -> dict[str, bytes]:
    """What lies in both places."""
    files = {str(path): path.read_bytes() for path in made.mirror.rglob("*") if path.is_file()}
    keys = [found["path"] for page in made.objects.list() for found in page]
    return files | {key: bytes(made.objects.get(key).bytes()) for key in keys}


def test_a_line_is_not_believed_before_its_entry(made: Backup) -> None:
    """Two processes that write to one bucket: who comes second is told, and nothing is replaced."""
    made.journal.add(b"one")
    made.journal.add(b"two", version=2)
    made.copy()
    marker = (made.root / "docsave-backup.json").read_bytes()
    first, second = made.bucket_target(), made.bucket_target()
    for target in (first, second):
        target.open(marker)
        target.adopt(marker)
    lines = list(ChainView(made.root).lines(1, 2))
    assert None not in lines
    first.append(lines[:1])  # type: ignore[arg-type]
    with pytest.raises(TargetAway, match="another process has just written"):
        second.append(lines)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no holes"):
        first.append(lines)  # type: ignore[arg-type]


def test_an_entry_that_is_damaged_here_is_not_copied(made: Backup) -> None:
    """The chain vouches for another entry: the place waits for the repair of the directory."""
    made.journal.add(b"one")
    made.copy()
    [line] = ChainView(made.root).lines(1, 1)
    [entry] = made.root.glob("history/*/*/v000001.json")
    entry.chmod(0o644)
    entry.write_bytes(entry.read_bytes().replace(b"report", b"REPORT"))
    with pytest.raises(BlobDamaged, match="not the one in the chain"):
        read_item(made.root, line)
