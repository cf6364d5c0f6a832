"""Whether the entries are those of the chain, and the chain is whole. Blocking."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from backup.chain import NOTHING, Head, identity_hash, leaf, link, root
from backup.chain_log import BLOCK, ENTRIES_LOG, LINE_BYTES, ROOTS_LOG, ChainView, Line
from backup.content import never
from backup.errors import Cancelled

CHANGED = "the event was changed"
MOVED = "the event was added or moved: the chain has another entry in its place"
LINK_BROKEN = "the event does not follow the one before it"
LINE_DAMAGED = "the chain's line of this entry is damaged"


class ChainCheck:
    """Compares entries with the chain, in any order; ``size`` are its lines when that began, of which ``unseen`` then
    tells what did not come. Entries that are made meanwhile are compared with the lines that they get.

    Takes 210 bytes of address space and a bit of memory an entry.
    """

    def __init__(self, directory: Path, size: int) -> None:
        self.size = size
        self._view = ChainView(directory)
        self._seen = bytearray(size // 8 + 1)
        self._map: mmap.mmap | bytes = b""
        self._mapped = 0
        self._extend(size)

    def reaches(self, event_id: int) -> bool:
        """Whether the chain has an entry of that number by now."""
        return event_id <= self._mapped or event_id <= self.grown()

    def grown(self) -> int:
        """How many lines the chain has by now."""
        self._extend(self._view.size())
        return self._mapped

    def line(self, event_id: int) -> Line | None:
        """The line of an entry, if it is whole."""
        line = Line.parse(self._map[(event_id - 1) * LINE_BYTES : event_id * LINE_BYTES])
        return line if line and line.event_id == event_id else None

    def problem(self, user_id: int, entry: Mapping[str, Any]) -> str | None:
        """What is wrong with an entry of the chain that lies among that user's; None when it is the one."""
        event_id = entry["event_id"]
        line = self.line(event_id)
        if line is None:
            return LINE_DAMAGED
        if not line.is_vouched_for:
            self._see(event_id)
            return None
        if (line.user_id, line.file_id, line.version) != (user_id, entry["id"], entry["version"]):
            return MOVED
        self._see(event_id)
        if line.leaf != leaf(entry):
            return CHANGED
        return None if self._follows(line, entry) else LINK_BROKEN

    def unseen(self) -> Iterator[Line]:
        """The lines of the chain whose entry did not come, or only with numbers that are not its own."""
        for event_id in range(1, self.size + 1):
            if not self._seen[event_id >> 3] & 1 << (event_id & 7) and (line := self.line(event_id)):
                yield line

    def faults(self, noted: Head | None, cancelled: Callable[[], bool] = never) -> Iterator[tuple[str, str]]:
        """What is wrong with the chain itself: file and problem. ``noted`` is a head that it had."""
        roots: list[bytes] = []
        tops: dict[int, bytes] = {}
        wanted = min(noted["size"], self.size) if noted else 0
        leaves: list[bytes] = []
        for event_id in range(1, self.size + 1):
            line = self.line(event_id)
            if line is None:
                yield ENTRIES_LOG.as_posix(), f"line {event_id} is damaged or not in its place"
            leaves.append(line.leaf if line else NOTHING)
            if event_id == wanted:
                tops[event_id] = root([*roots, root(leaves)])
            if event_id % BLOCK == 0:
                if cancelled():
                    raise Cancelled
                roots.append(root(leaves))
                leaves = []
                if (self._view.kept_root(len(roots) - 1) or roots[-1]) != roots[-1]:
                    problem = f"the entries {event_id - BLOCK + 1} to {event_id} do not have the root that was kept"
                    yield ROOTS_LOG.as_posix(), problem
        if noted and (noted["size"] > self.size or (wanted and tops[wanted].hex() != noted["root"])):
            problem = f"the first {noted['size']} entries are not those of which the head was noted"
            yield ENTRIES_LOG.as_posix(), problem

    def _extend(self, size: int) -> None:
        if size > self._mapped:
            with self._view.entries_log.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), size * LINE_BYTES, prot=mmap.PROT_READ)
            self._mapped = size

    def _see(self, event_id: int) -> None:
        if event_id <= self.size:
            self._seen[event_id >> 3] |= 1 << (event_id & 7)

    def _follows(self, line: Line, entry: Mapping[str, Any]) -> bool:
        before = self.line(line.event_id - 1) if line.event_id > 1 else None
        if line.event_id > 1 and before is None:
            return True  # its own line's damage is told of elsewhere
        previous = before.link if before else NOTHING
        named = entry.get("previous", previous.hex())
        return named == previous.hex() and line.link == link(previous, identity_hash(entry))
