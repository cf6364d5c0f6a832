"""What every service measures: its calls, its work, its transactions, how late its readers are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from prometheus_client import Counter, Histogram

from docsave_services.errors import DocsaveError
from docsave_services.metrics.registry import LONG_SECONDS, REGISTRY, SECONDS, Gauge

OK = "ok"
INTERNAL = "internal_error"

RPC_SECONDS = Histogram(
    "docsave_rpc_client_seconds",
    "Calls of other services, from asking to the answer or the deadline.",
    ("target", "method"),
    registry=REGISTRY,
    buckets=SECONDS,
)
RPC_CALLS = Counter(
    "docsave_rpc_client_calls_total",
    "Calls of other services by how they ended: ok or the code of the error.",
    ("target", "method", "outcome"),
    registry=REGISTRY,
)
WORK_SECONDS = Histogram(
    "docsave_work_seconds",
    "Work of this service: calls of others, events from the bus, timers.",
    ("kind", "method"),
    registry=REGISTRY,
    buckets=SECONDS,
)
WORK_DONE = Counter(
    "docsave_work_total",
    "Work of this service by how it ended: ok or the code of the error.",
    ("kind", "method", "outcome"),
    registry=REGISTRY,
)
DB_SECONDS = Histogram(
    "docsave_db_transaction_seconds",
    "Transactions, waiting for locks included.",
    ("kind",),
    registry=REGISTRY,
    buckets=SECONDS,
)
DB_FAILURES = Counter(
    "docsave_db_failures_total",
    "Transactions that were begun again (lock, connection) or given up (unavailable).",
    ("reason",),
    registry=REGISTRY,
)
READER_DELAY = Histogram(
    "docsave_reader_delay_seconds",
    "From a change to when a reader of the journal was done with it: told its sockets, made the copy safe.",
    ("reader",),
    registry=REGISTRY,
    buckets=LONG_SECONDS,
)
READER_POSITION = Gauge(
    "docsave_reader_position",
    "The newest change that a reader in this process has dealt with; behind docsave_journal_head is its lag.",
    ("reader",),
)
EVENTS = Counter(
    "docsave_events_dispatched_total",
    "Events of the journal given to the bus by how that ended.",
    ("outcome",),
    registry=REGISTRY,
)


def outcome_of(error: BaseException | None) -> str:
    """The word for how something ended."""
    if error is None:
        return OK
    return error.code if isinstance(error, DocsaveError) else INTERNAL


@contextmanager
def measured_call(target: str, method: str) -> Iterator[None]:
    """Measure the block as one call of another service."""
    started = time.perf_counter()
    outcome = INTERNAL
    try:
        yield
        outcome = OK
    except DocsaveError as exc:
        outcome = exc.code
        raise
    finally:
        RPC_SECONDS.labels(target, method).observe(time.perf_counter() - started)
        RPC_CALLS.labels(target, method, outcome).inc()


def note_read(reader: str, at: str) -> None:
    """A reader of the journal is done with a change of the moment ``at`` (RFC 3339)."""
    try:
        delay = datetime.now(UTC) - datetime.fromisoformat(at)
    except (TypeError, ValueError):
        return  # an event that says no moment
    READER_DELAY.labels(reader).observe(max(delay.total_seconds(), 0.0))
