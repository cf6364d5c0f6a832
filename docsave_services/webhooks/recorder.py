"""Writing down what was delivered: many endpoints in one transaction, so that they share the cost of a commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import eventlet
from eventlet.event import Event
from sqlalchemy import Update, select, tuple_, update
from sqlalchemy.orm import Session

from docsave_services.contracts import WebhookNews
from docsave_services.db.transactions import Transactions
from docsave_services.db.webhook_models import ANSWER_CHARACTERS, DeliveryRow, WebhookRow
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import DocsaveError
from docsave_services.log import get_logger
from docsave_services.times import now
from docsave_services.wake import Wake
from docsave_services.webhooks.claims import Progress
from docsave_services.webhooks.endpoints import disable

_log = get_logger(__name__)

PAUSE_SECONDS = 1.0
PLACES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver one message. ``request`` is the row of one that was asked for."""

    message_id: str
    type: str
    at: datetime
    delivered: bool
    code: int | None
    answer: str | None
    error: str | None
    milliseconds: int
    cursor: Cursor | None = None
    request: int | None = None


@dataclass(slots=True)
class Record:
    """What is to be written about one endpoint: its tries in order, and where it stands after them.

    ``progress`` None leaves its place alone; ``end`` is the reason to disable it.
    """

    attempts: list[Attempt] = field(default_factory=list)
    progress: Progress | None = None
    end: str | None = None


class Recorder:
    """Writes records for ``holder`` in the order in which they come, and tries again while the database is away.

    ``lost(webhook_id)`` is told of an endpoint that is another process's by now, was moved or is gone: its progress
    was not written. ``told`` gets the news of those that were disabled.
    """

    def __init__(
        self,
        transactions: Transactions,
        holder: str,
        lost: Callable[[int], None],
        told: Callable[[list[WebhookNews]], None],
    ) -> None:
        self._transactions = transactions
        self._holder = holder
        self._lost = lost
        self._told = told
        self._waiting: dict[int, Record] = {}
        self._writing: dict[int, Record] = {}
        self._wake = Wake()
        self._written = Event()
        self._stopped = False

    def add(
        self, webhook_id: int, attempt: Attempt | None, progress: Progress | None = None, end: str | None = None
    ) -> None:
        """Have it written in a moment."""
        record = self._waiting.setdefault(webhook_id, Record())
        record.attempts += [attempt] if attempt else []
        record.progress = progress or record.progress
        record.end = end or record.end
        self._wake.ring()

    def unwritten(self, webhook_id: int) -> int:
        """Tries of an endpoint that would be forgotten by a crash now."""
        records = (self._waiting.get(webhook_id), self._writing.get(webhook_id))
        return sum(len(record.attempts) for record in records if record)

    def settle(self, webhook_id: int, most: int) -> None:
        """Wait until no more than ``most`` tries of the endpoint would be forgotten."""
        while self.unwritten(webhook_id) > most and not self._stopped:
            self._written.wait()

    def run(self) -> None:
        """Write until ``stop``."""
        while not self._stopped:
            self._wake.wait()
            self._write_waiting()

    def stop(self) -> None:
        """Write what waits, once, and let ``run`` return."""
        self._stopped = True
        self._write_waiting()
        self._wake.ring()
        self._tell_written()

    def _tell_written(self) -> None:
        written, self._written = self._written, Event()
        written.send()

    def _write_waiting(self) -> None:
        if self._writing or not self._waiting:
            return
        self._writing, self._waiting = self._waiting, {}
        pause = 0.0
        while self._writing:
            try:
                lost, news = self._transactions.write(lambda s: _write(s, self._holder, self._writing))
            except DocsaveError as exc:
                _log.warning("deliveries_not_recorded", endpoints=len(self._writing), error=exc.code)
                if self._stopped:
                    return
                pause = min(pause + PAUSE_SECONDS, 5 * PAUSE_SECONDS)
                eventlet.sleep(pause)
                continue
            self._writing = {}
            self._tell_written()
            for webhook_id in lost:
                self._lost(webhook_id)
            self._told(news)
        if self._waiting:
            self._wake.ring()


def write_places(transactions: Transactions, holder: str, endpoints: Sequence[tuple[int, int]], place: Cursor) -> None:
    """Write down that these endpoints, each with its id and ``moves``, had nothing to deliver up to ``place``."""
    for start in range(0, len(endpoints), PLACES_AT_ONCE):
        some = endpoints[start : start + PLACES_AT_ONCE]
        change = (
            update(WebhookRow)
            .where(
                tuple_(WebhookRow.id, WebhookRow.moves).in_(some),
                WebhookRow.holder == holder,
                WebhookRow.epoch == place.epoch,
                WebhookRow.event_id < place.event_id,
            )
            .values(event_id=place.event_id)
        )
        transactions.write(partial(_execute, change))


def _execute(change: Update, session: Session) -> None:
    session.execute(change)


def _write(session: Session, holder: str, records: dict[int, Record]) -> tuple[list[int], list[WebhookNews]]:
    lost, news = [], []
    for webhook_id, record in sorted(records.items()):
        row = session.get(WebhookRow, webhook_id, with_for_update=True)
        if row is None:
            lost.append(webhook_id)
            continue
        _write_attempts(session, row, record.attempts)
        if record.progress is None:
            continue
        if row.holder != holder or row.moves != record.progress.moves:
            lost.append(webhook_id)
            continue
        _write_progress(row, record.progress)
        if record.end and row.state == "active":
            news.append(disable(session, row, record.end))
    return lost, news


def _write_progress(row: WebhookRow, progress: Progress) -> None:
    row.epoch, row.event_id = progress.cursor.epoch, progress.cursor.event_id
    row.tries, row.failing_since, row.retry_at = progress.tries, progress.failing_since, progress.retry_at


def _write_attempts(session: Session, webhook: WebhookRow, attempts: list[Attempt]) -> None:
    ids = {attempt.message_id for attempt in attempts if attempt.request is None}
    query = select(DeliveryRow).where(DeliveryRow.webhook_id == webhook.id, DeliveryRow.message_id.in_(ids))
    events = {row.message_id: row for row in session.scalars(query.where(DeliveryRow.kind == "event"))} if ids else {}
    for attempt in attempts:
        if attempt.request is not None:
            row = session.get(DeliveryRow, attempt.request)
        else:
            row = events.get(attempt.message_id)
            if row is None:
                row = events[attempt.message_id] = _new_row(webhook.id, attempt)
                session.add(row)
        if row is not None:
            _note(row, attempt)
        webhook.last_at, webhook.last_code, webhook.last_error = attempt.at, attempt.code, attempt.error
        if not attempt.delivered:
            webhook.failed_at, webhook.failed_code, webhook.failed_error = attempt.at, attempt.code, attempt.error


def _new_row(webhook_id: int, attempt: Attempt) -> DeliveryRow:
    return DeliveryRow(
        webhook_id=webhook_id,
        message_id=attempt.message_id,
        kind="event",
        type=attempt.type,
        epoch=attempt.cursor.epoch if attempt.cursor else None,
        event_id=attempt.cursor.event_id if attempt.cursor else None,
        tries=0,
        created_at=now(),
    )


def _note(row: DeliveryRow, attempt: Attempt) -> None:
    row.state = "delivered" if attempt.delivered else "failed"
    row.tries += 1
    row.code, row.error, row.milliseconds = attempt.code, attempt.error, attempt.milliseconds
    row.answer = None if attempt.answer is None else attempt.answer[:ANSWER_CHARACTERS]
    row.updated_at = attempt.at
