"""Files of many versions in a backup directory, and what must hold of them however they lie."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

from backup.catalogue import entries_of, file_directories
from backup.compact import FileCompaction, Tally, age_limit
from backup.content import gives
from backup.history import History
from backup.layout import STEPS_MAX, Layout
from docsave_services.contracts import FileEvent
from tests.support.crashing import Countdown
from tests.support.journal import Journal
from tests.support.programs import ROOT


def changed(content: bytes, seed: int, share: float = 0.01) -> bytes:
    """``content`` with random pieces of at most 4 KiB replaced, ``share`` of it in all."""
    rng, new = random.Random(seed), bytearray(content)
    left = int(len(content) * share)
    while left > 0:
        count = min(left, 4096)
        place = rng.randrange(len(content) - count)
        new[place : place + count] = rng.randbytes(count)
        left -= count
    return bytes(new)


class Shelf:
    """A backup directory ``root`` that copies are made into, as the service does."""

    def __init__(self, home: Path) -> None:
        self.root = home / "backup"
        self.root.mkdir(parents=True)
        self.journal = Journal(home / "store")
        self.history = History(self.root, self.journal.blobs)
        self.contents: dict[tuple[int, int], bytes] = {}

    def save(self, content: bytes | None, version: int, file_id: int = 7, **changed_fields: object) -> FileEvent:
        """One more version; without ``content`` a deletion."""
        event = self.journal.add(content, version=version, file_id=file_id, **changed_fields)  # type: ignore[arg-type]
        self.history.write(event)
        if content is not None:
            self.contents[file_id, version] = content
        return event

    def directory(self, file_id: int = 7) -> Path:
        """Where a file's entries lie."""
        return next(self.root.glob(f"history/*/{file_id}"))

    def layout(self, file_id: int = 7) -> Layout:
        """How they lie now."""
        return Layout(self.directory(file_id))

    def compact(self, days: int = 0) -> Tally:
        """Compact every file."""
        return compact_all(self.root, days)

    def packed(self, file_id: int = 7) -> list[int]:
        """The versions that lie as patches."""
        layout = self.layout(file_id)
        return [version for version in layout.versions if layout.packed(version)]

    def room(self) -> int:
        """Bytes that the directory takes up on the disk, each inode once."""
        found = {(s.st_dev, s.st_ino): s.st_blocks * 512 for p in self.root.rglob("*") for s in [os.lstat(p)]}
        return sum(found.values())

    def check(self) -> None:
        """Every version gives its exact bytes, no way is too long, and the newest of each file lies plain."""
        check_directory(self.root, self.contents)


def compact_all(root: Path, days: int = 0) -> Tally:
    """Make patches of all older versions that have been so for ``days``."""
    tally = Tally()
    for _, directory in file_directories(root):
        FileCompaction(root, directory, age_limit(days), tally).run()
    return tally


def compact_until_killed(root: Path, countdown: Countdown) -> None:
    """For ``kill_at_each_step``."""
    countdown.arm()
    compact_all(root)


def check_directory(root: Path, contents: dict[tuple[int, int], bytes]) -> None:
    """Every version of ``contents`` can be read from ``root`` byte for byte; ways are short; the newest are plain."""
    found = set()
    for file_id, directory in file_directories(root):
        entries = [entry for entry in entries_of(file_id, directory) if entry.has_content]
        for entry in entries:
            event = entry.event
            assert event
            assert gives(entry.layers, event["sha256"], event["size"]), f"file {file_id} version {entry.version}"
            assert b"".join(entry.layers().pieces()) == contents[file_id, entry.version]
            assert entry.layout.steps(entry.version) <= STEPS_MAX
            found.add((file_id, entry.version))
        if entries:
            assert entries[-1].layout.plain(entries[-1].version)
    assert found == set(contents)


def by_hand(directory: Path, version: int, target: Path) -> bytes:
    """A version as a person restores it, with the function in docs/restore-by-hand.md."""
    script = f'set -u\n{_documented("restore() {", "}")}restore "$1" "$2"\n'
    command = ["sh", "-c", script, "sh", f"v{version:06d}", str(target)]
    subprocess.run(command, cwd=directory, check=True, timeout=60)
    return target.read_bytes()


def checked_by_hand(root: Path) -> list[str]:
    """What a person finds with the loop in docs/restore-by-hand.md that reads every version."""
    script = _documented("restore() {", "}") + _documented("scratch=$(mktemp", 'rm -r "$scratch"')
    command = ["sh", "-c", f"cd history\n{script}"]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines()


def _documented(first: str, last: str) -> str:
    """The lines of docs/restore-by-hand.md from the one that begins with ``first`` to ``last``."""
    text = (ROOT / "docs/restore-by-hand.md").read_text()
    return text[text.index(f"\n{first}") + 1 :].partition(f"\n{last}\n")[0] + f"\n{last}\n"
