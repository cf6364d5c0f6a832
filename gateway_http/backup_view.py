"""The backup directory as the gateway sees it: read only, and no path leads out of it. Blocking: use a thread."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from eventlet import patcher

from docsave_services.contracts import BACKUP_MARKER
from docsave_services.errors import BlobDamaged, BlobMissing, StorageUnavailable, Unavailable
from docsave_services.log import get_logger
from docsave_services.storage.patches import Layers
from docsave_services.storage.reading import part_pieces, verified_pieces
from gateway_http.limits import UNPACKING_WAIT_SECONDS, UNPACKING_WAITING_MAX

_log = get_logger(__name__)

_threading: Any = patcher.original("threading")
"""Content is read in threads of the operating system: the locks between them must be theirs."""

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _ROOT | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Opening something that is no plain file must not wait: a pipe would, for a writer."""

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
"""What opening answers when there is nothing, or a link or a socket where content should be."""


class BackupView:
    """Opens what lies below ``root``; the operator may have made a link of ``root`` itself, of nothing below."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, path: str) -> int:
        """A descriptor for reading the plain file at the relative ``path``, the caller's to close.

        ``BlobMissing`` when there is none; ``Unavailable`` when this is no backup directory: its disk is not mounted.
        """
        *directories, name = _names(path)
        with contextlib.ExitStack() as opened:
            place = self._open_root()
            opened.callback(os.close, place)
            try:
                for directory in directories:
                    place = os.open(directory, _BELOW, dir_fd=place)
                    opened.callback(os.close, place)
                return _plain_file(os.open(name, _FILE, dir_fd=place))
            except OSError as exc:
                raise (BlobMissing() if exc.errno in _NOT_THERE else _unreadable(exc)) from exc

    def _open_root(self) -> int:
        try:
            root = os.open(self._root, _ROOT)
        except OSError as exc:
            raise _unreadable(exc) from exc
        try:
            os.stat(BACKUP_MARKER, dir_fd=root, follow_symlinks=False)
        except OSError as exc:
            os.close(root)
            raise _unreadable(exc) from exc
        return root


@dataclass(frozen=True, slots=True)
class HistorySource:
    """The content of a version in the history: whole at ``path``, with that hash and size in bytes."""

    view: BackupView
    path: str
    sha256: str
    size: int

    def check(self) -> None:
        """Look whether the content is there with its size, without reading it."""
        fd = self.view.open(self.path)
        try:
            if os.fstat(fd).st_size != self.size:
                raise BlobDamaged
        finally:
            os.close(fd)

    def whole(self) -> Generator[bytes, None, None]:
        """All of it, as ``verified_pieces`` gives it."""
        with _reading():
            yield from verified_pieces(lambda: self.view.open(self.path), self.sha256, self.size)

    def part(self, start: int, stop: int) -> Generator[bytes, None, None]:
        """The bytes from ``start`` up to ``stop`` (exclusive), as ``part_pieces`` gives them."""
        with _reading():
            yield from part_pieces(lambda: self.view.open(self.path), self.size, start, stop)


@dataclass(frozen=True, slots=True)
class PatchedSource:
    """The content of a version that compaction made a patch of: what ``patches`` make of ``path``, or, without it, of
    nothing. It is unpacked into a file without a name in ``scratch`` and sent from there, however slow the client is.
    """

    view: BackupView
    path: str | None
    patches: tuple[str, ...]
    sha256: str
    size: int
    scratch: Path

    def check(self) -> None:
        """Look whether all is there that the content is made of, without reading it."""
        for path in (*([] if self.path is None else [self.path]), *self.patches):
            os.close(self.view.open(path))

    def whole(self) -> Generator[bytes, None, None]:
        """All of it; it has matched its hash before the first piece is sent."""
        return self.part(0, self.size)

    def part(self, start: int, stop: int) -> Generator[bytes, None, None]:
        """The bytes from ``start`` up to ``stop`` (exclusive) of content that matched its hash."""
        with _reading(), self._unpacked() as file:
            yield from part_pieces(lambda: os.dup(file.fileno()), self.size, start, stop)

    def _unpacked(self) -> IO[bytes]:
        first = None if self.path is None else partial(self.view.open, self.path)
        layers = Layers(first, tuple(partial(self.view.open, path) for path in self.patches))
        with UNPACKING.turn(), contextlib.ExitStack() as undo:
            file = undo.enter_context(_scratch_file(self.scratch))
            for piece in layers.verified(self.sha256, self.size):
                _keep(file, piece)
            undo.pop_all()
        return file


class Turns:
    """One at a time unpacks, few wait: each holds some 270 MB of memory at most, and a thread that others need."""

    def __init__(self, waiting_max: int, seconds_max: float) -> None:
        self._places = _threading.BoundedSemaphore(1 + waiting_max)
        self._turn = _threading.Lock()
        self._seconds = seconds_max

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn; ``Unavailable`` where too many wait, or it takes too long."""
        if not self._places.acquire(blocking=False):
            raise Unavailable("Too many earlier versions are being unpacked; try again shortly")
        try:
            if not self._turn.acquire(timeout=self._seconds):
                raise Unavailable("Earlier versions take long to unpack at the moment; try again shortly")
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()


UNPACKING = Turns(UNPACKING_WAITING_MAX, UNPACKING_WAIT_SECONDS)


def _scratch_file(directory: Path) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(buffering=0, dir=directory)
    except OSError as exc:
        raise _unwritable(exc) from exc


def _keep(file: IO[bytes], piece: bytes) -> None:
    left = memoryview(piece)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as exc:
        raise _unwritable(exc) from exc


def _unwritable(error: OSError) -> StorageUnavailable:
    _log.error("storage_failed", error=str(error))
    return StorageUnavailable()


def _names(path: str) -> list[str]:
    """The parts of a relative path; ``BlobMissing`` for one that could lead elsewhere."""
    names = path.split("/")
    if "\0" in path or any(name in ("", ".", "..") for name in names):
        raise BlobMissing
    return names


def _plain_file(fd: int) -> int:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BlobMissing
    return fd


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise _unreadable(exc) from exc


def _unreadable(error: OSError) -> Unavailable:
    _log.error("backup_directory_unreadable", error=str(error))
    return Unavailable("The backup directory cannot be read")
