"""One socket's way into the live stream: first what it missed, then what came meanwhile, then its room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from docsave_services.contracts import CHANGES_LIMIT_MAX, ChangesPage, FileEvent
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import CursorExpired
from notifier_bridge.limits import REPLAY_EVENTS_MAX

Fetch = Callable[[str, int, int | None], ChangesPage]
"""``fetch(since, limit, user_id)``: a page of the journal, of one user or (None) of all."""


class Notice(NamedTuple):
    """A message about something of ``user_id``'s. Without an ``event_id`` it has no place in the journal."""

    name: str
    payload: Mapping[str, Any]
    user_id: int
    event_id: int | None = None


class Subscription:
    """What waits for one socket until it is live. Everything after ``start``, in order, once.

    It listens from the moment it is made, at the reader's place ``heard``: later events come by ``offer``, earlier
    ones by ``missed_events``. The two meet without a gap, because the reader's place moves with each single event.
    """

    def __init__(self, user_id: int | None, start: Cursor, heard: Cursor) -> None:
        self.user_id = user_id
        self.start = start
        self._heard = heard
        self.backlog: deque[tuple[str, Mapping[str, Any]]] = deque()
        self.cancelled = False
        self.taken = 0

    def offer(self, notice: Notice) -> None:
        """A live message."""
        if self.user_id not in (None, notice.user_id):
            return
        if notice.event_id is None or notice.event_id > self.start.event_id:
            self.backlog.append((notice.name, notice.payload))

    def prepend(self, messages: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """What was missed goes before what came meanwhile."""
        self.backlog.extendleft(reversed(list(messages)))

    def missed_events(self, fetch: Fetch) -> list[FileEvent]:
        """The events after ``start`` up to where listening began.

        ``CursorExpired`` when the journal does not know ``start`` or too much was missed.
        """
        missed: list[FileEvent] = []
        place = self.start
        while place != self._heard:
            page = fetch(str(place), CHANGES_LIMIT_MAX, self.user_id)
            items = page["items"]
            missed += [event for event in items if event["event_id"] <= self._heard.event_id]
            if len(missed) > REPLAY_EVENTS_MAX:
                raise CursorExpired("too many changes were missed; reload")
            if len(items) < CHANGES_LIMIT_MAX or items[-1]["event_id"] >= self._heard.event_id:
                break
            place = Cursor.parse(page["cursor"])
        return missed

    def cancel(self) -> None:
        """Its socket has gone or became somebody else."""
        self.cancelled = True
        self.backlog.clear()


def starting_place(since: str | int, current: Cursor) -> Cursor:
    """Where a client's ``since`` (a cursor or an ``event_id``) lies; ``CursorExpired`` when it cannot be honoured."""
    if isinstance(since, int):
        return Cursor(current.epoch, since)
    try:
        place = Cursor.parse(since)
    except ValueError as exc:
        raise CursorExpired("this is not a cursor of the journal; reload") from exc
    if place.epoch != current.epoch:
        raise CursorExpired
    return place
