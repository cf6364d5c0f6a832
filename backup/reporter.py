"""Telling the files service which copies are safe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import eventlet

from backup.errors import describe
from backup.wake import Wake
from docsave_services.contracts import FileEvent
from docsave_services.log import get_logger

_log = get_logger(__name__)

BATCH_MAX = 500
QUEUE_MAX = 10_000
GATHER_SECONDS = 0.1
"""Copies that become safe together are reported together: one transaction instead of many."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class ReportsLost(Exception):
    """More copies became safe than could be remembered while nobody took the reports; read the journal again."""

    code = "reports_lost"


class Reporter:
    """Calls ``protected(items=[{"file_id", "version"}])`` until it succeeds, then ``confirmed(event_ids)``."""

    def __init__(self, protected: Callable[..., Any], confirmed: Callable[[list[int]], None]) -> None:
        self._protected = protected
        self._confirmed = confirmed
        self._queue: deque[tuple[int, int, int]] = deque()
        self._lost = False
        self._wake = Wake()
        self.error: str | None = None

    def add(self, event: FileEvent) -> None:
        """Report the event's version soon. Never blocks: when the queue is full, ``run`` ends in ``ReportsLost``
        after the queue, and what was dropped is found in the journal again."""
        if len(self._queue) >= QUEUE_MAX:
            self._lost = True
            return
        self._queue.append((event["event_id"], event["id"], event["version"]))
        self._wake.ring()

    def run(self) -> None:
        """Report for ever; failures wait and are tried again."""
        while True:
            self._wake.wait()
            eventlet.sleep(GATHER_SECONDS)
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
                self._report(batch)
            if self._lost:
                raise ReportsLost("the files service did not take the reports in time")

    def _report(self, batch: list[tuple[int, int, int]]) -> None:
        newest: dict[int, int] = {}
        for _, file_id, version in batch:
            newest[file_id] = max(version, newest.get(file_id, 0))
        items = [{"file_id": file_id, "version": version} for file_id, version in newest.items()]
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                self._protected(items=items)
                break
            except Exception as exc:
                self.error = describe(exc)
                _log.warning("protected_report_failed", error=self.error, items=len(items), retry_in=pause)
            eventlet.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self.error = None
        self._confirmed([event_id for event_id, _, _ in batch])
