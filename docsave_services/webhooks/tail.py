"""The newest events, for all endpoints of this process: one reader of the journal instead of one for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from docsave_services.contracts import ChangesPage, FileEvent
from docsave_services.domain.change_filter import ChangeFilter
from docsave_services.domain.cursor import Cursor
from docsave_services.webhooks.limits import EVENTS_PAGE, RECENT_EVENTS_MAX


class Follower(Protocol):
    """Somebody who is up to date and waits for an event that is for him. A ``user_id`` of None is everybody's."""

    @property
    def user_id(self) -> int | None:
        """Whose changes it hears of."""

    @property
    def wanted(self) -> ChangeFilter:
        """Which of them."""

    def let_go(self, place: Cursor | None) -> None:
        """There is one, or there may be. Up to ``place`` there was none (None: nobody knows)."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What comes after a place: events that are wanted, the place to go on from, and whether there may be more."""

    events: list[FileEvent]
    cursor: Cursor
    more: bool


class Tail:
    """The end of the journal in memory. Whoever is further behind gets its events from ``files``.

    Nothing here waits but a call to ``files``.
    """

    def __init__(self, files: Callable[..., Any]) -> None:
        self._files = files
        self._recent: list[FileEvent] = []
        self._followers: dict[int | None, dict[Follower, None]] = defaultdict(dict)
        self.cursor: Cursor | None = None

    def begin(self, cursor: Cursor) -> None:
        """The journal from here on. Everybody is woken: it may be another journal."""
        for follower in [each for group in self._followers.values() for each in group]:
            self._let_go(follower)
        self._recent, self.cursor = [], cursor

    def deliver(self, events: list[FileEvent]) -> None:
        """The next events, from the one reader; those that wait for them are woken."""
        self._recent.extend(events)
        if len(self._recent) > 2 * RECENT_EVENTS_MAX:
            del self._recent[:-RECENT_EVENTS_MAX]
        for event in events:
            for group in (event["user_id"], None):
                for follower in list(self._followers.get(group, ())):
                    if follower.wanted.passes(event):
                        self._let_go(follower)
        self.cursor = Cursor.parse(events[-1]["cursor"])

    def after(self, place: Cursor, user_id: int | None, wanted: ChangeFilter) -> Stretch:
        """What comes after ``place`` for this reader. ``CursorExpired`` for a place of another journal."""
        if self.cursor is None or place.epoch != self.cursor.epoch:
            return self._from_files(place, user_id, wanted)
        if place.event_id >= self.cursor.event_id:
            return Stretch([], place, more=False)
        first = self.cursor.event_id - len(self._recent) + 1
        if place.event_id + 1 < first:
            return self._from_files(place, user_id, wanted)
        return self._from_memory(place.event_id + 1 - first, user_id, wanted, self.cursor)

    def follow(self, follower: Follower, place: Cursor) -> bool:
        """Let it go at the next event that it wants; until then its place is this one's ``cursor``.

        False, and it does not follow, when it has not looked at everything up to here.
        """
        if self.cursor is not None and self.cursor.epoch == place.epoch and self.cursor.event_id > place.event_id:
            return False
        self._followers[follower.user_id][follower] = None
        return True

    def leave(self, follower: Follower) -> bool:
        """Forget it; whether it was following."""
        group = self._followers.get(follower.user_id, {})
        was_there = follower in group
        group.pop(follower, None)
        if not group:
            self._followers.pop(follower.user_id, None)
        return was_there

    def has(self, follower: Follower) -> bool:
        """Whether it follows."""
        return follower in self._followers.get(follower.user_id, {})

    def _let_go(self, follower: Follower) -> None:
        self.leave(follower)
        follower.let_go(self.cursor)

    def _from_memory(self, start: int, user_id: int | None, wanted: ChangeFilter, end: Cursor) -> Stretch:
        found: list[FileEvent] = []
        for event in self._recent[start:]:
            if user_id in (None, event["user_id"]) and wanted.passes(event):
                found.append(event)
                if len(found) == EVENTS_PAGE:
                    return Stretch(found, Cursor(end.epoch, event["event_id"]), more=True)
        return Stretch(found, end, more=False)

    def _from_files(self, place: Cursor, user_id: int | None, wanted: ChangeFilter) -> Stretch:
        page = cast(
            ChangesPage,
            self._files(
                "changes",
                since=str(place),
                limit=EVENTS_PAGE,
                user_id=user_id,
                types=list(wanted.types),
                folder=wanted.folder,
                labels=[label if value is None else f"{label}={value}" for label, value in wanted.labels],
            ),
        )
        cursor = Cursor.parse(page["cursor"])
        # What has happened during the call is in memory by now.
        overtaken = self.cursor is not None and self.cursor.event_id > cursor.event_id
        return Stretch(page["items"], cursor, page["more"] or overtaken)
