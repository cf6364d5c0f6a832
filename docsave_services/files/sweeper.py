"""The sweeper: removes what nobody needs, a bit at a time, and nothing else (ADR 012).

Blobs that no file names and the backup has, bodies and resumable uploads that were abandoned, old idempotency keys,
and, if a setting says so, files that were in the trash for long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from eventlet import tpool
from nameko.extensions import DependencyProvider
from prometheus_client import Counter

from docsave_services.contracts import FileEvent
from docsave_services.db.leases import take_lease
from docsave_services.db.provider import transactions_for
from docsave_services.db.transactions import Transactions
from docsave_services.errors import DocsaveError, StorageUnavailable, Unavailable
from docsave_services.files.needs import OTHER_JOURNAL, Needs, footing, needs
from docsave_services.files.repeats import count_old_requests, forget_old_requests
from docsave_services.files.trash import count_overdue, empty_trash, trash_limit
from docsave_services.log import get_logger
from docsave_services.metrics.registry import REGISTRY
from docsave_services.settings import Settings
from docsave_services.storage import BlobStore, promised_blobs, sweep, sweep_unfinished
from docsave_services.storage.sweep import Aside, Idle
from docsave_services.times import now

_log = get_logger(__name__)

INTERVAL_SECONDS = 120.0
"""Between two passes. The first comes so long after the start: then the system has other things to do."""

LEASE = "sweep"
LEASE_SECONDS = 5 * INTERVAL_SECONDS
"""The process that swept last goes on sweeping: it knows how long each condemned blob has waited."""

CONDEMNED_SECONDS = 600.0
"""So long a condemned blob waits before it is removed, on a clock that nobody sets. No call of ours takes so long:
whoever found the blob in its place before it was taken aside has named it by then, or never will."""

CONDEMNED_MAX = 5000
"""Blobs that may wait at once; more are not condemned before some are gone."""

PASS_SECONDS = 2.0
"""A pass begins nothing new after so long, so that a stop never waits for it."""

PREVIEW_SECONDS = 60.0

LOOKED_UP_AT_ONCE = 200
"""Blobs in one question to the database."""

LISTED_AT_ONCE = 2000
"""Entries of the store looked at in one call to a thread."""

KEY_ROUNDS_MAX = 10

T = TypeVar("T")
HandOver = Callable[[Sequence[FileEvent]], None]


@dataclass(slots=True)
class Swept:
    """What a pass removed: blobs and their bytes, abandoned uploads, idempotency keys, files from the trash.

    ``condemned`` and ``put_back`` count blobs taken aside and returned, ``kept_for_backup`` those that only the backup
    still waits for. ``complete`` says that the pass came to the end of the store; otherwise the next goes on.
    ``reason`` is set when no blob may be swept: ``backup_unknown`` or ``other_journal``.
    """

    blobs: int = 0
    bytes: int = 0
    uploads: int = 0
    keys: int = 0
    trash: int = 0
    kept_for_backup: int = 0
    condemned: int = 0
    put_back: int = 0
    complete: bool = False
    reason: str | None = None

    @property
    def did_something(self) -> bool:
        """Whether anything was moved or removed."""
        return any((self.blobs, self.uploads, self.keys, self.trash, self.condemned, self.put_back))


SWEEPS = Counter(
    "docsave_sweeps_total",
    "Passes of the sweeper, by whether blobs could be swept: ok, or the reason why not.",
    ("outcome",),
    registry=REGISTRY,
)
REMOVED = Counter("docsave_swept_total", "What the sweeper has removed, by kind.", ("kind",), registry=REGISTRY)
REMOVED_BYTES = Counter("docsave_swept_bytes_total", "Bytes of blobs that it has removed.", registry=REGISTRY)


def note_sweep(swept: Swept) -> None:
    """Count a pass and what it removed."""
    SWEEPS.labels(swept.reason or "ok").inc()
    for kind in ("blobs", "uploads", "keys", "trash"):
        REMOVED.labels(kind).inc(getattr(swept, kind))
    REMOVED_BYTES.inc(swept.bytes)


class Sweeper:
    """Sweeps one store and its database. It remembers where it is in the store and since when blobs are condemned; a
    new process begins both anew, which only costs time."""

    def __init__(
        self,
        transactions: Transactions,
        store: BlobStore,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.grace_seconds = settings.sweep_grace_hours * 3600.0
        self.condemned_seconds = CONDEMNED_SECONDS
        self._trash_days = settings.trash_days
        self._upload_life_seconds = settings.upload_life_seconds
        self._transactions = transactions
        self._store = store
        self._clock = clock
        self._way = sweep.directories(store)
        self._since: dict[Aside, float] = {}
        self._promised: frozenset[str] = frozenset()

    def sweep_in_turn(self, hand_over: HandOver) -> None:
        """One pass, unless it is another process's turn. What goes wrong is logged: the next pass tries again."""
        holder = f"{socket.gethostname()}-{os.getpid()}"[-64:]
        try:
            if take_lease(self._transactions, LEASE, holder, LEASE_SECONDS):
                self.sweep(hand_over)
        except DocsaveError as exc:
            _log.warning("sweep_failed", error=exc.code)

    def sweep(self, hand_over: HandOver) -> dict[str, Any]:
        """One pass; what it did. ``Unavailable`` while another process sweeps, ``StorageUnavailable`` when the disk
        says no, ``DatabaseUnavailable``: then nothing was removed that should not be."""
        swept = Swept()
        with _coded_errors(), sweep.exclusively(self._store) as alone:
            if not alone:
                raise Unavailable("Another process is sweeping")
            self._sweep_rows(swept, hand_over)
            swept.uploads = self._sweep_uploads()
            self._sweep_blobs(swept)
        note_sweep(swept)
        if swept.did_something:
            _log.info("swept", **asdict(swept))
        return asdict(swept)

    def preview(self) -> dict[str, Any]:
        """What passes would remove if they began now, and what waits for the backup; changes nothing."""
        swept = Swept()
        limit = trash_limit(self._trash_days, now())
        if limit is not None:
            swept.trash = self._transactions.read(lambda s: count_overdue(s, limit))
        swept.keys = self._transactions.read(lambda s: count_old_requests(s, now()))
        with _coded_errors():
            swept.uploads = self._sweep_uploads(dry_run=True)
            mark = tpool.execute(sweep.read_mark, self._store)
            swept.reason = self._transactions.read(lambda s: footing(s, mark)).reason
            self._preview_blobs(swept)
        return asdict(swept)

    def _sweep_rows(self, swept: Swept, hand_over: HandOver) -> None:
        moment = now()
        limit = trash_limit(self._trash_days, moment)
        if limit is not None:
            swept.trash = empty_trash(self._transactions, self._store, limit, hand_over)
        for _ in range(KEY_ROUNDS_MAX):
            forgotten = self._transactions.write(lambda s: forget_old_requests(s, moment), repeatable=True)
            swept.keys += forgotten
            if not forgotten:
                break

    def _sweep_uploads(self, dry_run: bool = False) -> int:
        bodies: int = tpool.execute(sweep.sweep_staging, self._store, dry_run=dry_run)
        unfinished: int = tpool.execute(sweep_unfinished, self._store, self._upload_life_seconds, dry_run=dry_run)
        return bodies + unfinished

    def _sweep_blobs(self, swept: Swept) -> None:
        if not self._is_safe(swept):
            return
        end = time.monotonic() + PASS_SECONDS
        self._promised = tpool.execute(promised_blobs, self._store)
        room = CONDEMNED_MAX - self._judge_condemned(swept)
        before_ns = self._idle_before()
        while swept.condemned < room and time.monotonic() < end:
            idle = tpool.execute(_gather, self._way, before_ns)
            if idle is None:
                self._way = sweep.directories(self._store)
                swept.complete = True
                break
            self._condemn(idle, swept)

    def _is_safe(self, swept: Swept) -> bool:
        """Whether blobs may be swept at all. The store remembers how far it has seen the journal come."""
        mark = tpool.execute(sweep.read_mark, self._store)
        ground = self._transactions.read(lambda s: footing(s, mark))
        swept.reason = ground.reason
        if ground.reason == OTHER_JOURNAL:
            _log.error("sweep_refused", reason=ground.reason, head=str(ground.head), mark=mark)
        elif str(ground.head) != mark:
            tpool.execute(sweep.write_mark, self._store, str(ground.head))
        return ground.reason is None

    def _judge_condemned(self, swept: Swept) -> int:
        """Put back what is needed after all, remove what has waited long enough; how many go on waiting."""
        asides = tpool.execute(sweep.condemned, self._store, CONDEMNED_MAX)
        moment = self._clock()
        self._since = {aside: self._since.get(aside, moment) for aside in asides}
        gone = 0
        for some in _chunks(asides):
            free = self._look(some).free
            due = [a for a in some if a.key in free and moment - self._since[a] >= self.condemned_seconds]
            back = tpool.execute(self._return, [a for a in some if a.key not in free])
            removed = tpool.execute(self._remove, due)
            swept.put_back += back
            swept.blobs += len(removed)
            swept.bytes += sum(a.size for a in removed)
            gone += back + len(removed)
        return len(asides) - gone

    def _condemn(self, blobs: Sequence[Idle], swept: Swept) -> None:
        """Take aside those that nobody needs; then look again, for one may have been named meanwhile."""
        found = self._look(blobs)
        swept.kept_for_backup += len(found.awaited)
        taken = tpool.execute(self._take_aside, [blob for blob in blobs if blob.key in found.free])
        swept.condemned += len(taken)
        if taken:
            self._since.update(dict.fromkeys(taken, self._clock()))
            free = self._look(taken).free
            swept.put_back += tpool.execute(self._return, [blob for blob in taken if blob.key not in free])

    def _look(self, blobs: Iterable[Idle | Aside]) -> Needs:
        keys = [blob.key for blob in blobs if blob.key not in self._promised]
        return self._transactions.read(lambda s: needs(s, keys))

    def _take_aside(self, blobs: Iterable[Idle]) -> list[Aside]:
        return [aside for blob in blobs if (aside := sweep.condemn(self._store, blob))]

    def _return(self, blobs: Sequence[Aside]) -> int:
        for blob in blobs:
            sweep.put_back(self._store, blob.key)
        return len(blobs)

    def _remove(self, blobs: Iterable[Aside]) -> list[Aside]:
        return [blob for blob in blobs if sweep.remove(self._store, blob)]

    def _idle_before(self) -> int:
        return time.time_ns() - int(self.grace_seconds * 1e9)

    def _preview_blobs(self, swept: Swept) -> None:
        end = time.monotonic() + PREVIEW_SECONDS
        self._promised = tpool.execute(promised_blobs, self._store)
        way, before_ns = sweep.directories(self._store), self._idle_before()
        blobs: Sequence[Idle | Aside] | None = tpool.execute(sweep.condemned, self._store, CONDEMNED_MAX)
        while blobs is not None and time.monotonic() < end:
            for some in _chunks(blobs):
                found = self._look(some)
                swept.kept_for_backup += len(found.awaited)
                free = found.free if swept.reason is None else frozenset()
                swept.blobs += len(free)
                swept.bytes += sum(blob.size for blob in some if blob.key in free)
            blobs = tpool.execute(_gather, way, before_ns)
        swept.complete = blobs is None


@contextlib.contextmanager
def _coded_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        _log.error("storage_failed", error=str(exc))
        raise StorageUnavailable from exc


def _gather(way: Iterator[Path], before_ns: int) -> list[Idle] | None:
    """Some of the next idle blobs on the way through the store, perhaps none; None at its end."""
    found: list[Idle] = []
    looked_at = 0
    for directory in way:
        idle, count = sweep.idle_blobs(directory, before_ns)
        found += idle
        looked_at += count + 1
        if looked_at >= LISTED_AT_ONCE or len(found) >= LOOKED_UP_AT_ONCE:
            break
    return found if looked_at else None


def _chunks(blobs: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(blobs), LOOKED_UP_AT_ONCE):
        yield blobs[start : start + LOOKED_UP_AT_ONCE]


class SweeperProvider(DependencyProvider):
    """Injects the process's one ``Sweeper``."""

    def setup(self) -> None:
        settings = Settings.from_config(self.container.config)
        self.sweeper = Sweeper(transactions_for(settings.db_uri), BlobStore(settings.blob_dir), settings)

    def get_dependency(self, worker_ctx: Any) -> Sweeper:
        return self.sweeper
