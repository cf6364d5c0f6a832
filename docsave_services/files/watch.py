"""What the files service tells of the journal, its readers and the blob store, every few seconds.

How far behind a reader is, is said here and not by the reader: one that hangs would say nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from eventlet import tpool
from nameko.extensions import DependencyProvider
from sqlalchemy import false, func, select
from sqlalchemy.orm import Session

from docsave_services.db import journal
from docsave_services.db.file_models import FileUsageRow
from docsave_services.db.models import FileEventRow
from docsave_services.db.provider import transactions_for
from docsave_services.db.transactions import Transactions
from docsave_services.files.census import BlobCensus
from docsave_services.files.protection import copied_through
from docsave_services.metrics.disk import disk_readings
from docsave_services.metrics.registry import Gauge, Reading
from docsave_services.metrics.watch import Watch, start_watch
from docsave_services.settings import Settings
from docsave_services.storage import BlobStore
from docsave_services.times import now

HEAD = Gauge("docsave_journal_head", "The number of the newest change.")
LAG_EVENTS = Gauge("docsave_reader_lag_events", "Changes that a reader of the journal has not dealt with.", ("reader",))
LAG_SECONDS = Gauge("docsave_reader_lag_seconds", "How old the oldest of these is.", ("reader",))
DOCUMENTS = Gauge("docsave_documents", "Documents, those in the trash included.")
DOCUMENT_BYTES = Gauge("docsave_documents_bytes", "Bytes of documents, equal content counted each time.")
BLOBS = Gauge("docsave_blobs", "Blobs in the store.")
BLOB_BYTES = Gauge("docsave_blobs_bytes", "Bytes of blobs in the store.")
UPLOADS = Gauge("docsave_unfinished_uploads", "Resumable uploads that are no documents yet.")

UNDISPATCHED_MAX = 10_000
"""Counted up to here; more are that many."""


class FilesWatch(DependencyProvider):
    """Publishes the gauges for as long as the container."""

    def start(self) -> None:
        settings = Settings.from_config(self.container.config)
        store = BlobStore(settings.blob_dir)
        watched = Watched(transactions_for(settings.db_uri), store, BlobCensus(store.root))
        start_watch(self.container, Watch("files", watched.readings))

    def get_dependency(self, worker_ctx: Any) -> None:
        return None


class Watched:
    """Reads database and store."""

    def __init__(self, transactions: Transactions, store: BlobStore, census: BlobCensus) -> None:
        self._transactions = transactions
        self._store = store
        self._census = census

    def readings(self) -> Iterator[Reading]:
        """All of them, as they are now."""
        yield from self._transactions.read(lambda session: list(journal_readings(session)))
        yield from tpool.execute(self._disk)

    def _disk(self) -> list[Reading]:
        readings = list(disk_readings("blobs", self._store.root))
        readings.append(Reading(UPLOADS, _unfinished(self._store.root)))
        counted = self._census.look()
        if counted is not None:
            readings += [Reading(BLOBS, counted[0]), Reading(BLOB_BYTES, counted[1])]
        return readings


def journal_readings(session: Session) -> Iterator[Reading]:
    """The journal's head, and how far behind the bus and the backup are."""
    newest = journal.head(session).event_id
    yield Reading(HEAD, newest)
    copied = copied_through(session) or 0
    yield Reading(LAG_EVENTS, newest - copied, ("backup",))
    yield Reading(LAG_SECONDS, _age(session, copied + 1), ("backup",))
    waiting = select(FileEventRow.event_id).where(FileEventRow.dispatched == false())
    untold = session.scalar(select(func.count()).select_from(waiting.limit(UNDISPATCHED_MAX).subquery())) or 0
    oldest = session.scalar(waiting.order_by(FileEventRow.event_id).limit(1)) if untold else None
    yield Reading(LAG_EVENTS, untold, ("outbox",))
    yield Reading(LAG_SECONDS, 0.0 if oldest is None else _age(session, oldest), ("outbox",))
    files, used = session.execute(select(func.sum(FileUsageRow.files), func.sum(FileUsageRow.used_bytes))).one()
    yield Reading(DOCUMENTS, files or 0)
    yield Reading(DOCUMENT_BYTES, used or 0)


def _age(session: Session, event_id: int) -> float:
    """How many seconds ago that change was; 0 when there is none."""
    at: datetime | None = session.scalar(select(FileEventRow.at).where(FileEventRow.event_id == event_id))
    return 0.0 if at is None else max((now() - at).total_seconds(), 0.0)


def _unfinished(root: Path) -> int:
    try:
        with os.scandir(root / "uploads" / "open") as users:
            return sum(sum(1 for _ in Path(user.path).iterdir()) for user in users if user.is_dir())
    except FileNotFoundError:
        return 0
