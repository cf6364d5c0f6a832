"""The chain on disk: ``chain/entries.log``, a line for each entry in the journal's order, and the roots of its blocks.

Lines have one length, so that any is found without reading the others. Only whole lines count: what a crash or a full
disk left of one is written over. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backup.chain import NOTHING, Head, path, root
from docsave_services.errors import BlobDamaged
from docsave_services.storage.durable import fsync_directory, make_directories

ENTRIES_LOG = Path("chain", "entries.log")
ROOTS_LOG = Path("chain", "roots.log")
LOG_MODE = 0o640

LINE_BYTES = 210
BLOCK = 1024
"""Entries for which one root is kept: a head or a proof reads a block of lines, and a root for each other block."""

_LINE = re.compile(rb"(\d{19}) (\d{19}) (\d{19}) (\d{19}) ([0-9a-f]{64}) ([0-9a-f]{64})\n")
_ROOT = re.compile(rb"[0-9a-f]{64}\n")
_ROOT_BYTES = 65


@dataclass(frozen=True, slots=True)
class Line:
    """One entry in the chain: its place in the journal, where it lies, its leaf and its link."""

    event_id: int
    user_id: int
    file_id: int
    version: int
    leaf: bytes
    link: bytes

    @property
    def text(self) -> bytes:
        """The line as it is on disk."""
        numbers = (self.event_id, self.user_id, self.file_id, self.version)
        return f"{' '.join(f'{n:019d}' for n in numbers)} {self.leaf.hex()} {self.link.hex()}\n".encode()

    @property
    def is_vouched_for(self) -> bool:
        """False for an entry that was missing when the chain of an older directory was made."""
        return self.leaf != NOTHING

    @classmethod
    def parse(cls, text: bytes) -> Line | None:
        """The line, or None for what is none."""
        match = _LINE.fullmatch(text)
        if match is None:
            return None
        return cls(*(int(match[n]) for n in range(1, 5)), *(bytes.fromhex(match[n].decode()) for n in (5, 6)))  # type: ignore[arg-type] # four numbers, two hashes


class ChainView:
    """Reads the chain of the backup directory ``directory``; also while another process appends."""

    def __init__(self, directory: Path) -> None:
        self.entries_log = directory / ENTRIES_LOG
        self.roots_log = directory / ROOTS_LOG

    def size(self) -> int:
        """How many entries have a whole line."""
        return _count(self.entries_log, LINE_BYTES)

    def line(self, event_id: int) -> Line | None:
        """The line of an entry; None when there is none, or it is not what belongs there."""
        return next(self.lines(event_id, event_id), None)

    def lines(self, first: int, last: int) -> Iterator[Line | None]:
        """The lines from ``first`` to ``last``, both included, as far as there are any; None for a damaged one."""
        for start in range(first, last + 1, BLOCK):
            count = min(BLOCK, last + 1 - start)
            text = _read(self.entries_log, (start - 1) * LINE_BYTES, count * LINE_BYTES)
            for number in range(len(text) // LINE_BYTES):
                line = Line.parse(text[number * LINE_BYTES : (number + 1) * LINE_BYTES])
                yield line if line and line.event_id == start + number else None

    def link(self, event_id: int) -> bytes:
        """The link of an entry; that of the entry before the first for 0. ``BlobDamaged`` when it cannot be read."""
        return self._sound(self.line(event_id)).link if event_id else NOTHING

    def block_root(self, number: int, count: int = BLOCK) -> bytes:
        """The root of the block's first ``count`` entries, from their lines. ``BlobDamaged`` when one is not sound."""
        return root(self._leaves(number, count))

    def kept_root(self, number: int) -> bytes | None:
        """The root of a full block as ``roots.log`` has it."""
        text = _read(self.roots_log, number * _ROOT_BYTES, _ROOT_BYTES)
        return bytes.fromhex(text.decode()) if _ROOT.fullmatch(text) else None

    def head(self, size: int | None = None) -> Head:
        """The head when the history had ``size`` entries; the latest by default."""
        size = self.size() if size is None else size
        return {"size": size, "root": root(self._blocks(size)).hex()}

    def way(self, event_id: int, size: int) -> tuple[list[bytes], bytes]:
        """The siblings from an entry's leaf to the root over ``size`` entries, and that root."""
        number, place = divmod(event_id - 1, BLOCK)
        blocks = self._blocks(size)
        leaves = self._leaves(number, min(BLOCK, size - number * BLOCK))
        return path(place, leaves) + path(number, blocks), root(blocks)

    def _blocks(self, size: int) -> list[bytes]:
        full, rest = divmod(size, BLOCK)
        blocks = [self.kept_root(number) or self.block_root(number) for number in range(full)]
        return [*blocks, self.block_root(full, rest)] if rest else blocks

    def _leaves(self, number: int, count: int) -> list[bytes]:
        first = number * BLOCK + 1
        leaves = [self._sound(line).leaf for line in self.lines(first, first + count - 1)]
        if len(leaves) < count:
            raise BlobDamaged("The chain of the backup ends too early")
        return leaves

    @staticmethod
    def _sound(line: Line | None) -> Line:
        if line is None:
            raise BlobDamaged("The chain of the backup cannot be read; verify says where")
        return line


class ChainWriter:
    """Appends to the chain. For the one process that may write."""

    def __init__(self, directory: Path, vouched: int) -> None:
        """Open the chain of ``directory``. Lines behind the place ``vouched`` that a crash damaged are dropped:
        nobody was told of them, and their entries come again."""
        self.view = ChainView(directory)
        make_directories(self.view.entries_log.parent)
        whole = self.view.size()
        behind = enumerate(self.view.lines(vouched + 1, whole), vouched + 1)
        self.size = next((number - 1 for number, line in behind if line is None), whole)

    def append(self, lines: Iterable[Line]) -> None:
        """Add the lines that come after those which are there, and make them durable.

        After an error nothing is added, and the same lines can be appended again: they are written again, too, for
        an fsync that failed once must not be believed the next time.
        """
        new = [line for line in lines if line.event_id > self.size]
        if [line.event_id for line in new] != list(range(self.size + 1, self.size + 1 + len(new))):
            raise ValueError("the chain has no holes")
        if new:
            _write(self.view.entries_log, self.size * LINE_BYTES, b"".join(line.text for line in new))
            self.size += len(new)
        self._keep_roots()

    def _keep_roots(self) -> None:
        kept = _count(self.view.roots_log, _ROOT_BYTES)
        full = self.size // BLOCK
        if kept >= full:
            return
        with contextlib.suppress(BlobDamaged):  # verify names the line; copying must not end because of it
            roots = b"".join(self.view.block_root(number).hex().encode() + b"\n" for number in range(kept, full))
            _write(self.view.roots_log, kept * _ROOT_BYTES, roots)


def _count(file: Path, length: int) -> int:
    try:
        return file.stat().st_size // length
    except FileNotFoundError:
        return 0


def _read(file: Path, offset: int, count: int) -> bytes:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, count, offset)
    finally:
        os.close(fd)


def _write(file: Path, offset: int, text: bytes) -> None:
    new = not file.exists()
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, LOG_MODE)
    try:
        os.ftruncate(fd, offset)
        left = memoryview(text)
        while left:
            count = os.pwrite(fd, left, offset)
            left, offset = left[count:], offset + count
        os.fsync(fd)
    finally:
        os.close(fd)
    if new:
        fsync_directory(file.parent)
