"""The blob store from green threads: every blocking call in a real thread, every failing disk a coded error."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from eventlet import tpool
from nameko.extensions import DependencyProvider

from docsave_services import tracing
from docsave_services.errors import StorageUnavailable, TooLarge
from docsave_services.log import get_logger
from docsave_services.settings import Settings
from docsave_services.storage import CHUNK_BYTES, BlobStore, StagedBlob, StoredBlob
from gateway_http.digests import Digests
from gateway_http.limits import STORE_THREADS

_log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_M_ARENA_MAX = -8
"""A parameter of glibc's ``mallopt`` (malloc.h)."""


def _share_malloc_arenas() -> None:
    """Let the threads share two heaps. Each of glibc's many would keep a piece or two of freed content: a download
    of 1 GiB held 34 MB more than the gateway needs. Other C libraries have no such parameter."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


tpool.set_num_threads(STORE_THREADS)
_share_malloc_arenas()
tpool.QUIET = True  # errors are raised here again; eventlet would print each to stderr too


class BlobStoreProvider(DependencyProvider):
    """Injects the ``BlobStore`` of the data directory, ready for writing."""

    def setup(self) -> None:
        self.store = BlobStore(Settings.from_config(self.container.config).blob_dir)
        self.store.prepare()

    def get_dependency(self, worker_ctx: object) -> BlobStore:
        return self.store


def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``function`` of the store in a thread; ``StorageUnavailable`` for a disk that is full, read-only or bad."""
    try:
        result: T = tpool.execute(function, *args, **kwargs)
    except OSError as exc:
        _log.error("storage_failed", error=str(exc))
        raise StorageUnavailable from exc
    return result


class BlobWriter:
    """Content on its way into the store. Pieces are gathered into ``CHUNK_BYTES``, so that a small upload costs one
    call to a thread in all. Leaving the ``with`` block without ``commit`` leaves nothing behind.

    ``digests`` are checked before the content counts; they may be set until the first piece is written.
    """

    def __init__(self, store: BlobStore, size_max: int) -> None:
        self.digests = Digests()
        self._staged = store.stage()
        self._size_max = size_max
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Take ``piece``; ``TooLarge`` as soon as the content exceeds ``size_max`` bytes."""
        self._size += len(piece)
        if self._size > self._size_max:
            raise too_large(self._size_max)
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._waiting >= CHUNK_BYTES:
            in_thread(_write, self._staged, self.digests, self._taken())

    def keep_nothing(self) -> None:
        """From now on only count and hash: ``commit`` tells which blob it would have been."""
        in_thread(self._staged.keep_nothing)

    def commit(self) -> StoredBlob:
        """Make the content durable. ``DigestMismatch`` when it is not what its sender meant; nothing is kept then."""
        with tracing.span("save blob"):
            return in_thread(_write_and_commit, self._staged, self.digests, self._taken())

    def _taken(self) -> list[bytes]:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        return pieces

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            in_thread(self._staged.discard)


def _write(staged: StagedBlob, digests: Digests, pieces: list[bytes]) -> None:
    for piece in pieces:
        digests.update(piece)
        staged.write(piece)


def _write_and_commit(staged: StagedBlob, digests: Digests, pieces: list[bytes]) -> StoredBlob:
    _write(staged, digests, pieces)
    digests.verify(staged.sha256)
    return staged.commit()


def too_large(size_max: int) -> TooLarge:
    """The error for content above the limit, with the limit in it."""
    return TooLarge(f"A file may have at most {size_max} bytes")
