"""Taking out of the blob store what nobody needs. It knows files only; what is needed, its caller asks the database.

A blob goes in two stages, so that nobody who relies on it meanwhile loses it. It is taken aside by a rename, from
``ab/cd/<sha256>`` to ``condemned/<sha256>``: whoever relies on it touches it by its path (``BlobStore``), and either
that fails, or the touch is seen on what was taken aside. Then it waits. Only after that it is removed; until then it
can be put back, and is still read. One process sweeps at a time (``exclusively``). Everything here blocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docsave_services.log import get_logger
from docsave_services.storage.blobs import BlobStore, blob_key
from docsave_services.storage.durable import make_directories, write_file

_log = get_logger(__name__)

STAGED_SECONDS = 24 * 3600.0
"""A body that nobody has written to for so long died with its process. Age alone decides, for several processes write
here; a living upload is cut when it stalls for seconds. One swept all the same fails and leaves nothing."""

STAGED_MAX = 10_000
"""Bodies looked at in one call."""

MARK = "swept-through"
"""The file in the store's root that ``write_mark`` writes."""

_PART = re.compile(r"[0-9a-f]{2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Idle:
    """A blob in its place, and when somebody last relied on it (nanoseconds since 1970)."""

    key: str
    size: int
    inode: int
    relied_on_ns: int


@dataclass(frozen=True, slots=True)
class Aside:
    """A blob that was taken aside. ``changed_ns`` is its ctime: another one after each rename, link or touch. It tells
    one stay from the next and is never compared with a clock."""

    key: str
    size: int
    inode: int
    changed_ns: int


@contextlib.contextmanager
def exclusively(store: BlobStore) -> Iterator[bool]:
    """Whether this is the only sweep of the store until the block ends. The kernel forgets a process that dies."""
    make_directories(store.condemned)
    lock = os.open(store.condemned, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(lock)


def directories(store: BlobStore) -> Iterator[Path]:
    """Every directory that may hold blobs, in order; listed as late as can be."""
    for first in _parts(store.root):
        yield from _parts(first)


def idle_blobs(directory: Path, before_ns: int) -> tuple[list[Idle], int]:
    """The blobs in ``directory`` that nobody has relied on since ``before_ns``; and how many it holds in all."""
    found, looked_at = [], 0
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            looked_at += 1
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if _SHA256.fullmatch(entry.name) and status.st_mtime_ns < before_ns:
                    found.append(Idle(blob_key(entry.name), status.st_size, status.st_ino, status.st_mtime_ns))
    return found, looked_at


def condemn(store: BlobStore, blob: Idle) -> Aside | None:
    """Take a blob aside; None when somebody relies on it again, or did so while it was being taken (it is back then).

    The second look is what counts: a touch by path cannot reach the blob any more.
    """
    path, aside = store.root / blob.key, store.condemned / Path(blob.key).name
    try:
        if not _is_same(path.stat(), blob) or aside.exists():
            return None
        path.rename(aside)
        status = aside.stat()
    except FileNotFoundError:
        return None
    if _is_same(status, blob):
        return _aside(blob.key, status)
    put_back(store, blob.key)
    return None


def put_back(store: BlobStore, key: str) -> None:
    """Undo ``condemn``. A blob that was saved anew in the meantime stays as it is, and this one goes."""
    path, aside = store.root / key, store.condemned / Path(key).name
    if not store.recall(key):
        return
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size != aside.stat().st_size:
            _log.error("condemned_blob_differs", blob=aside.name)  # one of the two is torn; people must look
        else:
            aside.unlink()


def condemned(store: BlobStore, most: int) -> list[Aside]:
    """Up to ``most`` blobs that were taken aside."""
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(store.condemned) as entries:
        for entry in itertools.islice(entries, most):
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if _SHA256.fullmatch(entry.name):
                    found.append(_aside(blob_key(entry.name), status))
    return found


def remove(store: BlobStore, blob: Aside) -> bool:
    """Remove for good a blob that was taken aside, if it is still the one that was looked at."""
    aside = store.condemned / Path(blob.key).name
    with contextlib.suppress(FileNotFoundError):
        status = aside.stat()
        if (status.st_ino, status.st_ctime_ns) == (blob.inode, blob.changed_ns):
            aside.unlink()
            return True
    return False


def sweep_staging(store: BlobStore, dry_run: bool = False) -> int:
    """Remove the bodies of uploads that died with their process long ago; how many."""
    count = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(store.staging) as entries:
        for entry in itertools.islice(entries, STAGED_MAX):
            try:
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > STAGED_SECONDS:
                    if not dry_run:
                        Path(entry.path).unlink()
                    count += 1
            except FileNotFoundError:
                pass  # finished, or swept by another process
            except OSError as exc:
                _log.warning("staged_upload_not_swept", name=entry.name, error=str(exc))
    return count


def read_mark(store: BlobStore) -> str | None:
    """The place in the journal that the last sweep saw, as a cursor; None before the first."""
    try:
        return (store.root / MARK).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def write_mark(store: BlobStore, cursor: str) -> None:
    """Remember, durably, which journal the store belongs to and how far that has come."""
    write_file(store.root / MARK, f"{cursor}\n".encode())


def _is_same(status: os.stat_result, blob: Idle) -> bool:
    return (status.st_ino, status.st_mtime_ns) == (blob.inode, blob.relied_on_ns)


def _aside(key: str, status: os.stat_result) -> Aside:
    return Aside(key, status.st_size, status.st_ino, status.st_ctime_ns)


def _parts(directory: Path) -> list[Path]:
    """The subdirectories that are a part of a key."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if _PART.fullmatch(entry.name) and entry.is_dir()]
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names)]
