"""Telling the files service which copies are safe, and up to which entry of the journal all of them are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import eventlet

from backup.errors import describe
from docsave_services.contracts import FileEvent
from docsave_services.log import get_logger
from docsave_services.wake import Wake

_log = get_logger(__name__)

BATCH_MAX = 500
QUEUE_MAX = 10_000
GATHER_SECONDS = 0.1
"""Copies that become safe together are reported together: one transaction instead of many."""

REPEAT_SECONDS = 30.0
"""How often the place is reported although it has not moved: the files service may have lost it with its database's
last moments, and whether the directory is still there is looked at."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class ReportsLost(Exception):
    """More copies became safe than could be remembered while nobody took the reports; read the journal again."""

    code = "reports_lost"


class Reporter:
    """Calls ``protected(items=[{"file_id", "version"}], through=…)`` until it succeeds, then ``confirmed(event_ids)``.

    ``through()`` gives the durable place, a cursor; what it raises ends ``run``: then nothing more is claimed.
    """

    def __init__(
        self,
        protected: Callable[..., Any],
        confirmed: Callable[[list[int]], None],
        through: Callable[[], str],
    ) -> None:
        self._protected = protected
        self._confirmed = confirmed
        self._through = through
        self._told: str | None = None  # so the first is sent: a new directory takes back what the last one claimed
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

    def place_moved(self) -> None:
        """Report the place soon, with or without versions. Never blocks."""
        self._wake.ring()

    def run(self) -> None:
        """Report for ever; failures wait and are tried again."""
        due = False
        while True:
            reported = bool(self._queue)  # if the place moved during that, the wake was rung again
            while self._queue:
                self._report([self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))])
            if self._lost:
                raise ReportsLost("the files service did not take the reports in time")
            if not reported and (due or self._through() != self._told):
                self._report([])
            due = not self._wake.wait(REPEAT_SECONDS)
            eventlet.sleep(GATHER_SECONDS)

    def _report(self, batch: list[tuple[int, int, int]]) -> None:
        newest: dict[int, int] = {}
        for _, file_id, version in batch:
            newest[file_id] = max(version, newest.get(file_id, 0))
        items = [{"file_id": file_id, "version": version} for file_id, version in newest.items()]
        pause = FIRST_PAUSE_SECONDS
        while not self._is_taken(items):
            eventlet.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._confirmed([event_id for event_id, _, _ in batch])

    def _is_taken(self, items: list[dict[str, int]]) -> bool:
        through = self._through()
        try:
            self._protected(items=items, through=through)
        except Exception as exc:
            self.error = describe(exc)
            _log.warning("protected_report_failed", error=self.error, items=len(items))
            return False
        self.error, self._told = None, through
        return True
