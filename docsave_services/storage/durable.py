"""Writing files so that they survive a power cut. Blocking: call it in a thread.

A failed fsync is never repeated: the kernel may have dropped the pages, and the second call would succeed over lost
data (PostgreSQL, 2018). The caller throws the file away.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

_TEMPORARY_PREFIX = ".tmp-"
_OWN_PREFIX = f"{_TEMPORARY_PREFIX}{uuid.uuid4().hex[:12]}-"


def temporary_beside(path: Path) -> Path:
    """A name, never used before, in the directory of ``path``; a rename from there is atomic."""
    return path.with_name(f"{_OWN_PREFIX}{uuid.uuid4().hex}")


def is_left_behind(name: str) -> bool:
    """Whether ``name`` is the temporary file of another process: once that one is dead, it may be removed."""
    return name.startswith(_TEMPORARY_PREFIX) and not name.startswith(_OWN_PREFIX)


def fsync_directory(path: Path) -> None:
    """Make the directory's entries durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directories(path: Path, mode: int = 0o750) -> None:
    """Create ``path`` and what is missing above it, each entry durable in its parent."""
    if path.is_dir():
        return
    make_directories(path.parent, mode)
    path.mkdir(mode=mode, exist_ok=True)
    fsync_directory(path.parent)


class DurableDirectories:
    """Directories below ``root`` that are known to survive a power cut.

    One that exists may have been made a moment ago by a process that has not come to its fsync, or was killed before:
    what is written into it would be lost with it. So the first use in this process makes sure.
    """

    KNOWN_MAX = 100_000

    def __init__(self, root: Path, mode: int = 0o750) -> None:
        self._root = root
        self._mode = mode
        self._known: set[str] = set()
        """Below ``root``, as texts: a path takes five times their memory, and a store has 65,792 of them."""

    def make(self, path: Path) -> None:
        """Create ``path`` where it is missing; when this returns, it and all between ``root`` and it are durable."""
        if path == self._root:
            return
        name = os.fspath(path)[len(os.fspath(self._root)) :]
        if name in self._known and path.is_dir():
            return
        self.make(path.parent)
        path.mkdir(mode=self._mode, exist_ok=True)
        fsync_directory(path.parent)
        if len(self._known) >= self.KNOWN_MAX:
            self._known.clear()
        self._known.add(name)


def write_file(path: Path, content: bytes, mode: int = 0o640) -> None:
    """Replace or create ``path`` with ``content``: after a crash it holds the old bytes or the new, never a mix."""
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)
