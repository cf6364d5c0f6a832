"""The blob store on a file system.

Content is written once under ``ab/cd/<sha256>`` and never changed. The order of a save is the promise: write a
temporary file, check, fsync it, rename it, fsync the directory; only then may a row name it. Everything here blocks:
services call it through ``eventlet.tpool``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from docsave_services.errors import BlobDamaged, BlobMissing
from docsave_services.storage.durable import DurableDirectories, fsync_directory, make_directories
from docsave_services.storage.reading import part_pieces, verified_pieces

_KEY = re.compile(r"([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{64})")


def blob_key(sha256: str) -> str:
    """The key (relative path) of the content with that hash in hexadecimal."""
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def sha256_of_key(key: str) -> str:
    """The hash a key stands for; ``BlobMissing`` for what is not a key, so that none can point elsewhere."""
    match = _KEY.fullmatch(key)
    if match is None or not match[3].startswith(match[1] + match[2]):
        raise BlobMissing
    return match[3]


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Content that is durable in the store: its key, size in bytes and hash."""

    key: str
    size: int
    sha256: str


@dataclass(slots=True)
class StagedBlob:
    """Content on its way in. ``write`` pieces, then ``commit``, or ``discard``; nothing is visible before."""

    store: BlobStore
    size: int = 0
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    _fd: int = -1
    _path: Path | None = None
    _kept: bool = True

    @property
    def sha256(self) -> str:
        """The hash in hexadecimal of what was written so far."""
        return self._hash.hexdigest()

    def keep_nothing(self) -> None:
        """From now on only count and hash; what was kept goes. ``commit`` then tells which blob this would be."""
        self._kept = False
        self.discard()

    def write(self, piece: bytes | memoryview) -> None:
        """Append ``piece``, counting and hashing it."""
        self._hash.update(piece)
        view = memoryview(piece)
        self.size += len(view)
        if not self._kept:
            return
        if self._path is None:
            self._path = self.store.staging / uuid.uuid4().hex
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
        while view:
            view = view[os.write(self._fd, view) :]

    def commit(self) -> StoredBlob:
        """Make the content durable under its hash. An existing blob is used only after a look at it."""
        self.write(b"")
        sha256 = self.sha256
        if self._path is None:  # told to keep nothing; but equal content may be there
            with contextlib.suppress(BlobMissing):
                self.store.reuse(blob_key(sha256))
            return StoredBlob(blob_key(sha256), self.size, sha256)
        try:
            os.fsync(self._fd)
            self.store.adopt(self._path, sha256, self.size)
        finally:
            self.discard()
        return StoredBlob(blob_key(sha256), self.size, sha256)

    def discard(self) -> None:
        """Forget the content. Harmless after ``commit`` and when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


class BlobStore:
    """Content by hash under ``root``. Several processes may share it; ``prepare`` is called by those that write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging = root / "staging"
        self.condemned = root / "condemned"
        self._directories = DurableDirectories(root)

    def prepare(self) -> None:
        """Create the directories a writer needs."""
        make_directories(self.staging)

    def stage(self) -> StagedBlob:
        """Begin a new blob."""
        return StagedBlob(self)

    def size_of(self, key: str) -> int:
        """Size in bytes; ``BlobMissing`` when the store has no such blob."""
        for path in self._places(key):
            with contextlib.suppress(FileNotFoundError):
                return path.stat().st_size
        raise BlobMissing

    def claim(self, key: str) -> int:
        """The size in bytes of content that a row is about to name; ``BlobMissing`` when the store has no such blob.

        Whoever saved the content made it durable and relied on it. This call says so once more, for a call that was
        long under way, and fetches back what the sweeper has just taken aside.
        """
        path = self._path(key)
        for _ in range(2):
            try:
                os.utime(path)
                return path.stat().st_size
            except FileNotFoundError:
                self.recall(key)
            except OSError:
                break  # we may only read this store
        return self.size_of(key)

    def recall(self, key: str) -> bool:
        """Give a blob that the sweeper has taken aside its place again, durably; False when it has taken none.

        A blob that is in that place already stays. The name aside is left to the sweeper.
        """
        path = self._path(key)
        try:
            _place(self.condemned / path.name, path)
        except FileNotFoundError:
            return False
        fsync_directory(path.parent)
        return True

    def reuse(self, key: str) -> int:
        """Rely on content that is there already: its size in bytes, durable; ``BlobMissing`` when it is not.

        From now on it counts as new, so that the sweeper leaves it alone until a row names it.
        """
        path = self._path(key)
        size = _rely_on(path)
        if size is None and self.recall(key):
            size = _rely_on(path)
        if size is None:
            raise BlobMissing
        return size

    def check_size(self, key: str, size: int) -> None:
        """``BlobMissing`` when there is no such blob, ``BlobDamaged`` when it has another size."""
        if self.size_of(key) != size:
            raise BlobDamaged

    def open(self, key: str) -> int:
        """A file descriptor for reading, the caller's to close; ``BlobMissing`` when there is no such blob."""
        for path in self._places(key):
            with contextlib.suppress(FileNotFoundError):
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        raise BlobMissing

    def read_verified(self, key: str, size: int | None = None) -> Generator[bytes, None, None]:
        """The content, as ``verified_pieces`` gives it."""
        yield from verified_pieces(lambda: self.open(key), sha256_of_key(key), size)

    def read_part(self, key: str, size: int, start: int, stop: int) -> Generator[bytes, None, None]:
        """The bytes from ``start`` up to ``stop`` (exclusive), as ``part_pieces`` gives them."""
        yield from part_pieces(lambda: self.open(key), size, start, stop)

    def adopt(self, temporary: Path, sha256: str, size: int) -> None:
        """Make a durable file on the store's file system the blob of that hash; it may stay behind when there is one.

        The file's content must be on disk, and nobody may write to it any more.
        """
        target = self._path(blob_key(sha256))
        self._directories.make(target.parent)
        if _rely_on(target) != size:
            os.utime(temporary)  # it counts as new from now on, however long it took to arrive
            temporary.replace(target)
        fsync_directory(target.parent)

    def _path(self, key: str) -> Path:
        sha256_of_key(key)
        return self.root / key

    def _places(self, key: str) -> Iterator[Path]:
        """Where to look for a blob. The sweeper takes one aside for a moment before it knows that a row has just named
        it; so look there too, and once more in its place, for it may have come back between the two looks."""
        path = self._path(key)
        yield path
        yield self.condemned / path.name
        yield path


def _place(aside: Path, path: Path) -> None:
    """Name ``aside`` also ``path``, unless there is something already; ``FileNotFoundError`` without ``aside``."""
    try:
        path.hardlink_to(aside)
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        if not path.exists():
            aside.rename(path)


def _rely_on(path: Path) -> int | None:
    """The size of a readable blob, whose bytes are on disk when this returns; None when there is none.

    Another upload may have renamed it a moment ago and not yet have been told that it is durable. Its time is set by
    its path and last: a sweeper that took the blob away meanwhile makes that fail, one that comes later sees it.
    """
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            os.fsync(fd)
        finally:
            os.close(fd)
        os.utime(path)
        return size
    return None
