"""Content in the backup directory: copied and hashed in one pass, checked before it is trusted. Blocking."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backup.errors import Cancelled
from docsave_services.errors import BlobDamaged
from docsave_services.storage import CHUNK_BYTES
from docsave_services.storage.durable import fsync_directory, make_directories, temporary_beside
from docsave_services.storage.patches import Layers

READ_ONLY = 0o444

NO_LINK_ERRORS = frozenset({errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES})
"""What ``link`` answers where it is not supported or not allowed, or where the object has too many names already."""


def never() -> bool:
    """The cancellation of those who cannot be cancelled."""
    return False


def unless(cancelled: Callable[[], bool], content: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of ``content``, until ``Cancelled``."""
    for piece in content:
        if cancelled():
            raise Cancelled
        yield piece


@dataclass(frozen=True, slots=True)
class Source:
    """Content to be copied: how to open it (a file descriptor), its hash in hexadecimal and its size in bytes."""

    open: Callable[[], int]
    sha256: str
    size: int


def copy_content(source: Source, target: Path, cancelled: Callable[[], bool] = never) -> None:
    """Put the content at ``target``, read-only and durable, or leave nothing. As ``place_content``."""
    place_content(source, target, cancelled)
    fsync_directory(target.parent)


def place_content(source: Source, target: Path, cancelled: Callable[[], bool] = never) -> None:
    """Put the content at ``target``, read-only, or leave nothing. Its bytes are durable; the name is not yet.

    Raises ``BlobDamaged`` when the bytes do not match hash and size. ``target`` must not exist: the caller looked,
    and is the only one that writes.
    """
    temporary = temporary_beside(target)
    try:
        _copy_bytes(source, temporary, cancelled)
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_content(content: Iterable[bytes], target: Path, cancelled: Callable[[], bool] = never) -> None:
    """Put ``content``, whose pieces end only when they are right, at ``target``: read-only and durable, or nothing."""
    temporary = temporary_beside(target)
    try:
        with io.FileIO(temporary, "xb") as writer:
            for piece in unless(cancelled, content):
                write_all(writer, memoryview(piece))
            os.fchmod(writer.fileno(), READ_ONLY)
            os.fsync(writer.fileno())
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(target.parent)


def _copy_bytes(source: Source, temporary: Path, cancelled: Callable[[], bool]) -> None:
    digest, size = hashlib.sha256(), 0
    with io.FileIO(source.open()) as reader, io.FileIO(temporary, "xb") as writer:
        for piece in pieces(reader, cancelled):
            digest.update(piece)
            size += len(piece)
            write_all(writer, piece)
        if digest.hexdigest() != source.sha256 or size != source.size:
            raise BlobDamaged
        os.fchmod(writer.fileno(), READ_ONLY)
        os.fsync(writer.fileno())


def write_all(writer: io.FileIO, piece: memoryview) -> None:
    """Write the piece to its end."""
    while piece:
        piece = piece[writer.write(piece) :]


def pieces(reader: io.FileIO, cancelled: Callable[[], bool]) -> Iterator[memoryview]:
    """What is left of the open file, in pieces that are valid until the next one; ``Cancelled`` between two."""
    # Room for what is there, and a byte to see that it ends: making a megabyte ready takes longer than a small file.
    buffer = memoryview(bytearray(min(CHUNK_BYTES, os.fstat(reader.fileno()).st_size + 1)))
    while count := reader.readinto(buffer):
        if cancelled():
            raise Cancelled
        yield buffer[:count]


def matches(path: Path, sha256: str, size: int, cancelled: Callable[[], bool] = never) -> bool:
    """Whether the file holds exactly that content; every byte is read. ``FileNotFoundError`` when it is not there."""
    with io.FileIO(path) as reader:
        return holds(reader, sha256, size, cancelled)


def holds(
    reader: io.FileIO,
    sha256: str,
    size: int,
    cancelled: Callable[[], bool] = never,
    took: Callable[[int], None] = lambda _: None,
) -> bool:
    """Whether the open file holds exactly that content. ``took`` hears of each piece's size."""
    if os.fstat(reader.fileno()).st_size != size:
        return False
    digest = hashlib.sha256()
    for piece in pieces(reader, cancelled):
        digest.update(piece)
        took(len(piece))
    return digest.hexdigest() == sha256


def forget_cached(fd: int) -> None:
    """Have what follows read from the disk: what the system remembers of the file may be better than that."""
    with contextlib.suppress(OSError):  # advice that a file system may not take
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def gives(
    layers: Callable[[], Layers],
    sha256: str,
    size: int,
    cancelled: Callable[[], bool] = never,
    took: Callable[[int], None] = lambda _: None,
) -> bool:
    """Whether exactly that content comes out of ``layers``, as ``holds``."""
    try:
        for piece in unless(cancelled, layers().verified(sha256, size)):
            took(len(piece))
    except BlobDamaged:
        return False
    return True


def open_unpacked(layers: Layers, scratch: Path | None = None) -> int:
    """A descriptor for reading what comes out of ``layers``, compared with nothing: of a file without a name in
    ``scratch`` (by default where temporary files are) where it lies as patches. ``BlobDamaged`` for no patch."""
    if layers.plain is not None and not layers.patches:
        return layers.plain()
    with tempfile.TemporaryFile(buffering=0, dir=scratch) as file:
        for piece in layers.pieces():
            write_all(file, memoryview(piece))
        file.seek(0)
        return os.dup(file.fileno())


DAMAGED = "damaged"
"""Where damaged files go, below the backup directory, each under its own path: nothing is deleted."""


def set_aside(path: Path, root: Path) -> str:
    """Move a damaged file of the directory ``root`` to ``damaged/`` for an operator to look at; its new relative path.

    ``-2`` and so on is appended when there is one already.
    """
    first = aside = root / DAMAGED / path.relative_to(root)
    make_directories(first.parent)
    number = 1
    while os.path.lexists(aside):
        number += 1
        aside = first.with_name(f"{first.name}-{number}")
    path.rename(aside)
    fsync_directory(aside.parent)
    fsync_directory(path.parent)
    return aside.relative_to(root).as_posix()
