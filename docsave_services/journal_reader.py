"""Reading the journal in order, with the bus as a hint. The one class behind every reader (ARCHITECTURE, section 4)."""

from __future__ import annotations

from collections.abc import Callable

import eventlet
from eventlet.event import Event

from docsave_services.contracts import CHANGES_LIMIT_MAX, ChangesPage, FileEvent
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import CursorExpired, DocsaveError
from docsave_services.log import get_logger

_log = get_logger(__name__)

TICK_SECONDS = 3.0
"""A reader that heard nothing looks into the journal this often: a lost message costs this delay, not data."""

GAP_GRACE_SECONDS = 0.05
"""Two messages often overtake each other; waiting this long spares most reads of the journal."""

PENDING_MAX = 10_000
"""Early events held for their turn; more are dropped and read from the journal later."""


class JournalReader:
    """Hands every event after ``cursor`` to ``deliver``, once and in order of ``event_id``.

    ``fetch(since, limit)`` reads the journal and ``deliver(events)`` takes a contiguous run; both run in the reader's
    one green thread. The place moves only after ``deliver`` returned, so a ``deliver`` that raises is tried again
    with the same events. ``CursorExpired`` from ``fetch`` ends ``run``: the owner decides what a new journal means.
    """

    def __init__(
        self,
        fetch: Callable[[str, int], ChangesPage],
        deliver: Callable[[list[FileEvent]], None],
        cursor: Cursor,
    ) -> None:
        self._fetch = fetch
        self._deliver = deliver
        self._early: dict[int, FileEvent] = {}
        self._signal = Event()
        self._look_wanted = False
        self._stopped = False
        self.cursor = cursor

    def offer(self, event: FileEvent) -> None:
        """Take an event from the bus: new, repeated, early or of another journal."""
        try:
            cursor = Cursor.parse(event["cursor"])
        except (KeyError, TypeError, ValueError):
            _log.warning("malformed_event_ignored")
            return
        if cursor.epoch != self.cursor.epoch:
            self.wake()  # the journal was replaced: the next fetch tells
        elif cursor.event_id > self.cursor.event_id and len(self._early) < PENDING_MAX:
            self._early[cursor.event_id] = event
            self._notify()

    def wake(self) -> None:
        """Read the journal now instead of at the next tick."""
        self._look_wanted = True
        self._notify()

    def _notify(self) -> None:
        if not self._signal.ready():
            self._signal.send()

    def stop(self) -> None:
        """Let ``run`` return after the delivery in progress."""
        self._stopped = True
        self.wake()

    def run(self) -> None:
        """Read until ``stop``: first what was missed, then what comes. Failures wait and are tried again."""
        pause = 0.0
        look = True
        while not self._stopped:
            try:
                if look:
                    self._catch_up()
                self._take_ready()
                pause = 0.0
                look = self._wait_for_news()
            except CursorExpired:
                raise
            except Exception as exc:
                pause = min(pause * 2 or 0.2, TICK_SECONDS)
                _log.warning("journal_read_failed", cursor=str(self.cursor), error=_describe(exc), retry_in=pause)
                eventlet.sleep(pause)
                look = True

    def _wait_for_news(self) -> bool:
        """Sleep until there is something to do; True when the journal itself must be read."""
        if not self._await_signal(TICK_SECONDS):
            return True
        self._take_ready()
        if self._look_asked():
            return True
        if not self._early:
            return False
        eventlet.sleep(GAP_GRACE_SECONDS)
        self._take_ready()
        return bool(self._early)

    def _look_asked(self) -> bool:
        asked, self._look_wanted = self._look_wanted, False
        return asked

    def _await_signal(self, seconds: float) -> bool:
        with eventlet.Timeout(seconds, False):
            self._signal.wait()
        heard = bool(self._signal.ready())
        self._signal = Event()
        return heard

    def _catch_up(self) -> None:
        while not self._stopped:
            page = self._fetch(str(self.cursor), CHANGES_LIMIT_MAX)
            if page["items"]:
                self._hand_over(page["items"])
            if len(page["items"]) < CHANGES_LIMIT_MAX:
                return

    def _take_ready(self) -> None:
        run: list[FileEvent] = []
        place = self.cursor.event_id
        while (event := self._early.get(place + 1)) is not None:
            run.append(event)
            place += 1
        if run and not self._stopped:
            self._hand_over(run)

    def _hand_over(self, events: list[FileEvent]) -> None:
        self._deliver(events)
        self.cursor = Cursor(self.cursor.epoch, events[-1]["event_id"])
        for event_id in [e for e in self._early if e <= self.cursor.event_id]:
            del self._early[event_id]


def _describe(exc: Exception) -> str:
    return exc.code if isinstance(exc, DocsaveError) else repr(exc)
