"""Telling the bus what was committed: behind the reply, with confirms, and marked in the journal.

The bus is a hint, the journal the truth. What is not told here (a crash, a broker that is away, a full queue) stays
unmarked, and ``relay`` tells it a few seconds later. So each event goes out at least once, and a client's upload
never waits for it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import eventlet
from amqp.exceptions import AMQPError
from eventlet.queue import Empty, Full, LightQueue
from kombu.exceptions import KombuError
from nameko.events import EventDispatcher
from sqlalchemy.orm import Session

from docsave_services import tracing
from docsave_services.contracts import FileEvent
from docsave_services.db import journal
from docsave_services.db.leases import take_lease
from docsave_services.db.provider import transactions_for
from docsave_services.errors import DocsaveError
from docsave_services.log import get_logger
from docsave_services.metrics.instruments import EVENTS
from docsave_services.nameko_ext.request_context import REQUEST_ID_KEY
from docsave_services.settings import Settings
from docsave_services.times import now

_log = get_logger(__name__)

QUEUE_MAX = 10_000
DISPATCHERS = 4
PUBLISH_SECONDS = 5.0
MARK_EVERY_SECONDS = 1.0
MARK_AT_ONCE_MAX = 500

RELAY_AFTER_SECONDS = 5.0
"""Older than this and unmarked means that nobody is about to tell it."""

RELAY_BATCH = 200
RELAY_ROUNDS_MAX = 50
RELAY_LEASE = "relay"
RELAY_LEASE_SECONDS = 30.0


Place = tuple[int, int]
"""A change: its file and the version it made."""

Origin = dict[str, str]
"""The request that asked for a change: ``request_id`` and ``traceparent``, as far as they are known."""

Told = tuple[FileEvent, Origin]


class OutboxHandle:
    """What a worker gets of the outbox."""

    def __init__(
        self, tell: Callable[[Iterable[Told]], None], relay: Callable[[], int], hint: Callable[[str, Any], None]
    ) -> None:
        self._tell = tell
        self.relay = relay
        self.hint = hint

    def hand_over(self, events: Sequence[FileEvent], origins: Mapping[Place, Origin] | None = None) -> None:
        """Dispatch these committed events soon, each with its change's origin.

        As soon as this worker waits for something: that is when its reply is on its way to the broker.
        """
        known = origins or {}
        self._tell((event, known.get((event["id"], event["version"]), {})) for event in events)


class Outbox(EventDispatcher):
    """Injects an ``OutboxHandle``; green threads of this extension do the dispatching."""

    def setup(self) -> None:
        super().setup()
        self._waiting: LightQueue = LightQueue(QUEUE_MAX)
        self._confirmed: list[int] = []
        self._stopping = False
        self._marker: Any = None
        self.transactions = transactions_for(Settings.from_config(self.container.config).db_uri)

    def start(self) -> None:
        for n in range(DISPATCHERS):
            self.container.spawn_managed_thread(self._dispatch_waiting, identifier=f"outbox-{n}")
        self._marker = self.container.spawn_managed_thread(self._mark_regularly, identifier="outbox-marker")

    def stop(self) -> None:
        """Mark what the bus has confirmed; what still waits is the relay's."""
        self._stopping = True
        if self._marker is not None:
            self._marker.wait()
        super().stop()

    def get_dependency(self, worker_ctx: Any) -> OutboxHandle:
        return OutboxHandle(self._take, self.relay, self.hint)

    def _take(self, events: Iterable[Told]) -> None:
        for event in events:
            try:
                self._waiting.put_nowait(event)
            except Full:
                return  # unmarked, hence the relay's

    def relay(self) -> int:
        """Dispatch what lies unmarked in the journal; only the holder of the lease does. Returns how many."""
        holder = f"{socket.gethostname()}-{os.getpid()}"[-64:]
        total = 0
        for _ in range(RELAY_ROUNDS_MAX):
            batch = self.transactions.read(self._overdue)
            if not batch or not take_lease(self.transactions, RELAY_LEASE, holder, RELAY_LEASE_SECONDS):
                break
            told = [event["event_id"] for event in batch if self._publish(event)]
            self._mark(told)
            total += len(told)
            if len(told) < RELAY_BATCH:
                break
        return total

    @staticmethod
    def _overdue(session: Session) -> list[FileEvent]:
        return journal.undispatched(session, now() - timedelta(seconds=RELAY_AFTER_SECONDS), RELAY_BATCH)

    def _dispatch_waiting(self) -> None:
        while not self._stopping:
            try:
                event, origin = self._waiting.get(timeout=MARK_EVERY_SECONDS)
            except Empty:
                continue
            if self._publish(event, origin):
                self._confirmed.append(event["event_id"])

    def hint(self, event_type: str, payload: Any) -> None:
        """Tell something that is in no journal, in a moment and once: whoever misses it can ask."""
        eventlet.spawn(self._tell, event_type, payload)

    def _publish(self, event: FileEvent, origin: Origin | None = None) -> bool:
        """Tell the bus of ``event``; the origin of its change goes with it, for log lines and traces."""
        known = origin or {}
        tracing.adopt(known.get(tracing.TRACEPARENT))
        with tracing.span(f"dispatch {event['type']}", "producer"):
            headers = {f"nameko.{key}": value for key, value in {**known, **tracing.carried()}.items()}
            told = self._tell(event["type"], event, headers)
        EVENTS.labels("ok" if told else "failed").inc()
        if told:
            request_id = known.get(REQUEST_ID_KEY)
            _log.info("event_dispatched", type=event["type"], event_id=event["event_id"], request_id=request_id)
        return told

    def _tell(self, event_type: str, payload: Any, headers: Mapping[str, str] | None = None) -> bool:
        try:
            with eventlet.Timeout(PUBLISH_SECONDS, TimeoutError("the broker does not confirm")):
                self.publisher.publish(
                    payload, exchange=self.exchange, routing_key=event_type, extra_headers=headers or {}
                )
        except (KombuError, AMQPError, OSError) as exc:
            _log.warning("event_not_dispatched", type=event_type, event_id=payload.get("event_id"), error=str(exc))
            return False
        return True

    def _mark_regularly(self) -> None:
        while not self._stopping:
            eventlet.sleep(MARK_EVERY_SECONDS / 2)
            self._mark_confirmed()
        self._mark_confirmed()

    def _mark_confirmed(self) -> None:
        while self._confirmed:
            ids, self._confirmed = self._confirmed[:MARK_AT_ONCE_MAX], self._confirmed[MARK_AT_ONCE_MAX:]
            if not self._mark(ids):
                return

    def _mark(self, event_ids: list[int]) -> bool:
        """Unmarked events are told again, which is harmless, so a database that is away is no error here."""
        if not event_ids:
            return True
        try:
            self.transactions.write(lambda s: journal.mark_dispatched(s, event_ids))
        except DocsaveError as exc:
            _log.warning("events_not_marked", count=len(event_ids), error=exc.code)
            return False
        return True
