"""Requests that wait for a change: one reader of the journal wakes them all.

A waiting request holds its connection and a few hundred bytes here: no worker, no call, no database connection. What
the bus tells is read in order (``JournalFollower``), so a lost message costs one look into the journal by the whole
process every few seconds, however many wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeGuard

import eventlet
from eventlet.event import Event

from docsave_services.contracts import ChangesPage, FileEvent
from docsave_services.domain.change_filter import ChangeFilter
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import TooManyRequests, Unavailable
from docsave_services.journal_follower import JournalFollower
from docsave_services.nameko_ext import RpcCaller
from gateway_http.limits import RECENT_EVENTS, WAITERS_MAX, WAITERS_OF_USER_MAX
from gateway_http.presence import told_when_gone

BREATH_EVENTS = 20
"""After so many events other green threads run, in case many wait for something else."""

_FIELDS = FileEvent.__required_keys__


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose changes somebody reads (``user_id`` None: everybody's), which of them, and how many at once."""

    user_id: int | None
    wanted: ChangeFilter
    limit: int


@dataclass(slots=True, eq=False)
class _Waiter:
    """``signal`` gets True when there is news to look for, False when there is nothing to wait for any more."""

    reader: Reader
    place: Cursor
    caller_id: int
    signal: Any = field(default_factory=Event)

    def wake(self, news: bool) -> None:
        if not self.signal.ready():
            self.signal.send(news)


class WaitingRoom:
    """The one reader of the journal in this process, and who waits for it.

    ``cursor`` is the last change it has seen (None: the journal could not be read yet), and ``_recent`` the changes
    up to it: what came between a client's look into the journal and its waiting here is found there.
    """

    def __init__(self, files: RpcCaller) -> None:
        self._journal = JournalFollower(files, self._deliver, self._begin, self._start_over)
        self._recent: deque[FileEvent] = deque(maxlen=RECENT_EVENTS)
        self._waiters: dict[int | None, set[_Waiter]] = {}
        self._waits_of: dict[int, int] = {}
        self._closed = False
        self.cursor: Cursor | None = None

    def __len__(self) -> int:
        return sum(self._waits_of.values())

    def hear(self, event: Mapping[str, Any]) -> None:
        """An event from the bus. One that is not whole is only a reason to look into the journal."""
        if isinstance(event, dict) and event.keys() >= _FIELDS:
            self._journal.offer(event)  # type: ignore[arg-type] # all its fields are there
        else:
            self._journal.wake()

    def remembers(self, since: str | None) -> TypeGuard[str]:
        """Whether ``since`` is a place of this journal and all that is known to have followed is still here."""
        try:
            place = Cursor.parse(since or "")
        except ValueError:
            return False
        seen = self.cursor
        return seen is not None and seen.epoch == place.epoch and self._follows_from(place, seen)

    def wait(
        self, reader: Reader, caller_id: int, place: Cursor, seconds: float, connection: Any
    ) -> ChangesPage | None:
        """The page after ``place`` as soon as it has a change.

        An empty one when ``seconds`` are over, the client has gone or the process stops; its cursor is past what was
        not wanted. None when only the journal knows what followed ``place``.
        ``TooManyRequests`` or ``Unavailable`` when too many wait already.
        """
        waiter = _Waiter(reader, place, caller_id)
        self._admit(waiter)
        try:
            page = self._page(reader, place)
            if page is None or page["items"] or self._closed:
                return page
            with told_when_gone(connection, partial(waiter.wake, False)), eventlet.Timeout(seconds, False):
                waiter.signal.wait()
            if self.cursor is None or self.cursor.epoch != place.epoch:
                return None if self._woken_for_news(waiter) else empty_page(place)
            return self._page(reader, place)
        finally:
            self._dismiss(waiter)

    def run(self) -> None:
        """Follow the journal until ``close``."""
        self._journal.run()

    def close(self) -> None:
        """Let everybody go, at once, and nobody wait any more."""
        self._closed = True
        self._journal.stop()
        self._wake_all(news=False)

    def _begin(self, head: Cursor) -> None:
        """What happened before ``head``, nobody was told."""
        self.cursor = head
        self._recent.clear()
        self._wake_all(news=True)

    def _start_over(self) -> None:
        """Another journal: whoever waits finds out by reading it."""
        self.cursor = None
        self._recent.clear()
        self._wake_all(news=True)

    def _deliver(self, events: list[FileEvent]) -> None:
        for count, event in enumerate(events, 1):
            if self.cursor is None or event["event_id"] <= self.cursor.event_id:
                continue  # delivered before a failure in the middle of a run
            self._recent.append(event)
            self.cursor = Cursor(self.cursor.epoch, event["event_id"])
            self._wake_for(event)
            if count % BREATH_EVENTS == 0:
                eventlet.sleep(0)

    def _wake_for(self, event: FileEvent) -> None:
        for user_id in (event["user_id"], None):
            for waiter in self._waiters.get(user_id, ()):
                if event["event_id"] > waiter.place.event_id and waiter.reader.wanted.passes(event):
                    waiter.wake(True)

    def _wake_all(self, news: bool) -> None:
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.wake(news)

    @staticmethod
    def _woken_for_news(waiter: _Waiter) -> bool:
        return bool(waiter.signal.ready() and waiter.signal.wait())

    def _page(self, reader: Reader, place: Cursor) -> ChangesPage | None:
        """What of the changes seen here is after ``place``; None when some of them are not remembered any more."""
        seen = self.cursor
        if seen is None or seen.epoch != place.epoch or seen.event_id <= place.event_id:
            return empty_page(place)
        if not self._follows_from(place, seen):
            return None
        items = [event for event in self._recent if event["event_id"] > place.event_id and _is_for(event, reader)]
        if len(items) > reader.limit:
            items = items[: reader.limit]
            return {"items": items, "cursor": items[-1]["cursor"], "more": True}
        return {"items": items, "cursor": str(seen), "more": False}

    def _follows_from(self, place: Cursor, seen: Cursor) -> bool:
        if place.event_id >= seen.event_id:
            return place.event_id == seen.event_id
        return bool(self._recent) and self._recent[0]["event_id"] <= place.event_id + 1

    def _admit(self, waiter: _Waiter) -> None:
        if len(self) >= WAITERS_MAX:
            raise Unavailable("Too many requests wait for changes already; try again shortly")
        if self._waits_of.get(waiter.caller_id, 0) >= WAITERS_OF_USER_MAX:
            raise TooManyRequests("Too many of your requests wait for changes already; use fewer at once")
        self._waits_of[waiter.caller_id] = self._waits_of.get(waiter.caller_id, 0) + 1
        self._waiters.setdefault(waiter.reader.user_id, set()).add(waiter)

    def _dismiss(self, waiter: _Waiter) -> None:
        self._waits_of[waiter.caller_id] -= 1
        if not self._waits_of[waiter.caller_id]:
            del self._waits_of[waiter.caller_id]
        group = self._waiters[waiter.reader.user_id]
        group.discard(waiter)
        if not group:
            del self._waiters[waiter.reader.user_id]


def _is_for(event: FileEvent, reader: Reader) -> bool:
    return reader.user_id in (None, event["user_id"]) and reader.wanted.passes(event)


def empty_page(place: Cursor | str) -> ChangesPage:
    """Nothing after ``place``."""
    return {"items": [], "cursor": str(place), "more": False}
