"""The way back from a bucket: a backup directory, as ``make rebuild`` and ``make verify`` take it. Blocking.

The marker comes last: what is not whole cannot be taken for a backup. Interrupted, it goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backup.chain_log import ChainWriter, Line
from backup.errors import EntryConflict, describe
from backup.home import MARKER
from backup.names import version_label
from backup.progress import Place, write_place
from backup.targets.bucket import fetched_item, segments
from backup.targets.bucket_store import BucketStore
from backup.targets.directory import Copies, keep_beside
from backup.targets.item import Item
from backup.targets.target import BESIDE
from docsave_services.errors import BlobDamaged
from docsave_services.storage.durable import is_left_behind, make_directories, write_file

UNFINISHED = "fetch-unfinished.json"
AT_ONCE = 8
LINES_AT_ONCE = 500


class CannotFetch(Exception):
    """The text says why nothing was fetched."""


@dataclass(slots=True)
class Fetched:
    """What came: entries of the chain, and those that did not."""

    entries: int = 0
    problems: list[str] = field(default_factory=list)


class Fetch:
    """Fetches all that ``store`` has into ``root``, an empty directory or one of a fetch that was interrupted.

    What is damaged or missing in the bucket is named, and the rest comes.
    """

    def __init__(self, store: BucketStore, root: Path) -> None:
        self._store = store
        self._root = root
        self._copies = Copies(root)
        self.fetched = Fetched()

    def run(self, tick: Callable[[int], None] = lambda _: None) -> Fetched:
        """All of it. ``CannotFetch`` when it may not begin, ``TargetAway`` and ``OSError`` when it cannot go on."""
        marker = self._store.get(MARKER)
        if marker is None:
            raise CannotFetch(f"there is no {MARKER} in the bucket: is the address, with its prefix, the right one?")
        self._begin(json.loads(marker)["store_id"])
        self._copies.sweep()
        chain = ChainWriter(self._root, 0)
        for segment in segments(self._store):
            new = [line for line in segment if line.event_id > chain.size]
            for start in range(0, len(new), LINES_AT_ONCE):
                lines = new[start : start + LINES_AT_ONCE]
                self._fetch(lines)
                chain.append(lines)
                tick(len(lines))
        for directory in BESIDE:
            for key in self._store.etags(directory):
                keep_beside(self._root, f"{directory}/{key.rpartition('/')[2]}", self._store.get(key) or b"")
        write_place(self._root, json.loads(marker)["epoch"], Place(chain.size, chain.size))
        write_file(self._root / MARKER, marker, 0o444)
        (self._root / UNFINISHED).unlink()
        self.fetched.entries = chain.size
        return self.fetched

    def _begin(self, store_id: str) -> None:
        note = self._root / UNFINISHED
        make_directories(self._root)
        if not note.exists():
            if any(not is_left_behind(path.name) and path.name != "lost+found" for path in self._root.iterdir()):
                raise CannotFetch(f"{self._root} is not empty; give an empty directory")
            write_file(note, (json.dumps({"store_id": store_id}) + "\n").encode())
        found: Any = json.loads(note.read_bytes())
        if found.get("store_id") != store_id:
            raise CannotFetch(f"{self._root} holds what was fetched from another backup; give an empty directory")

    def _fetch(self, lines: Sequence[Line]) -> None:
        by_content: dict[str, list[Item]] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for item in pool.map(self._item, [line for line in lines if line.is_vouched_for]):
                if item is not None:
                    by_content.setdefault(item.event["sha256"], []).append(item)
            list(pool.map(self._write, by_content.values()))

    def _item(self, line: Line) -> Item | None:
        try:
            return fetched_item(self._store, line)
        except BlobDamaged as exc:
            self._note(line, exc)
            return None

    def _write(self, items: Sequence[Item]) -> None:
        for item in items:
            try:
                self._copies.write(item)
            except (BlobDamaged, EntryConflict) as exc:
                self._note(item.line, exc)

    def _note(self, line: Line, error: Exception) -> None:
        self.fetched.problems.append(f"file {line.file_id} {version_label(line.version)}: {describe(error)}")
