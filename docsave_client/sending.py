"""Bodies that are read from a file while they are sent, and tell how far they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Progress = Callable[[int, int], None]
"""``progress(done, total)`` in bytes; ``done`` may go back when a part is sent again."""


def no_progress(done: int, total: int) -> None:
    """For those who do not look."""


class FilePart:
    """``length`` bytes of a file from ``start`` on. A file that has become shorter is ``OSError``."""

    def __init__(self, path: Path, start: int, length: int, total: int, progress: Progress) -> None:
        self.len = length
        self._left = length
        self._done = start
        self._total = total
        self._progress = progress
        self._file = path.open("rb")
        self._file.seek(start)

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end of the part."""
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._file.read(wanted)
        if len(piece) < wanted:
            raise OSError(f"{self._file.name} became shorter while it was sent")
        self._left -= len(piece)
        self._done += len(piece)
        self._progress(self._done, self._total)
        return piece

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
