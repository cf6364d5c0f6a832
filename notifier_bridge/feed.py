"""From the journal to the sockets: every event in order, each socket exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import eventlet

from docsave_services.contracts import (
    FILE_EVENT_TYPES,
    FILE_PROTECTED,
    WEBHOOK_DISABLED,
    ChangesPage,
    FileEvent,
    ProtectedVersion,
    WebhookNews,
)
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import DocsaveError, Unavailable
from docsave_services.journal_follower import JournalFollower
from docsave_services.log import get_logger
from docsave_services.metrics.instruments import note_read
from docsave_services.nameko_ext import RpcCaller
from docsave_services.tokens import Identity
from notifier_bridge.limits import (
    REPLAY_EVENTS_HELD_MAX,
    REPLAY_EVENTS_MAX,
    STALLED_READER_SECONDS,
)
from notifier_bridge.replay import Notice, Subscription, starting_place
from notifier_bridge.rooms import ADMINS, Member, Rooms, user_room
from notifier_bridge.strict_server import Ack

_log = get_logger(__name__)

NOTIFY_PROTECTED = f"Notify_{FILE_PROTECTED}"

STRETCH_EVENTS = 100
BREATH_SECONDS = 0.01
"""So many events at most leave together; after them the sockets' writers get a moment to run."""


class Feed:
    """The one reader of the journal in this process, and the subscriptions that are not live yet.

    ``cursor`` is the last event handed to the rooms (None: the journal could not be read yet). Between moving it and
    queueing the events up to it for all sockets nothing else runs. So whoever looks at it and enters a room in the
    same step misses nothing and gets nothing twice.
    """

    def __init__(self, files: RpcCaller, rooms: Rooms, spawn: Callable[[Callable[[], None]], Any]) -> None:
        self._files = files
        self._spawn = spawn
        self._journal = JournalFollower(files, self._deliver, self._begin, self._start_over)
        self._pending: set[Subscription] = set()
        self.rooms = rooms
        self.cursor: Cursor | None = None

    def offer(self, event: FileEvent) -> None:
        """An event from the bus."""
        self._journal.offer(event)

    def run(self) -> None:
        """Read the journal until ``stop``."""
        self._journal.run()

    def stop(self) -> None:
        """Let ``run`` return soon."""
        self._journal.stop()

    def _begin(self, head: Cursor) -> None:
        self.cursor = head

    def _start_over(self) -> None:
        """Another journal: what the clients know is no longer true. They connect again and reload."""
        self.cursor = None
        for subscription in list(self._pending):
            self._forget(subscription)
        self.rooms.close_all()

    def _fetch(self, since: str, limit: int, user_id: int | None = None) -> ChangesPage:
        page: ChangesPage = self._files("changes", since=since, limit=limit, user_id=user_id)
        return page

    def _deliver(self, events: list[FileEvent]) -> None:
        if self.cursor is None:
            return
        # Some were delivered before a failure in the middle of a run.
        fresh = [event for event in events if event["event_id"] > self.cursor.event_id]
        for at in range(0, len(fresh), STRETCH_EVENTS):
            stretch = fresh[at : at + STRETCH_EVENTS]
            self._deliver_together(stretch, Cursor(self.cursor.epoch, stretch[-1]["event_id"]))
            if len(stretch) == STRETCH_EVENTS:
                eventlet.sleep(BREATH_SECONDS)

    def _deliver_together(self, events: list[FileEvent], place: Cursor) -> None:
        known = [event for event in events if _is_known(event)]
        self._publish([_notice_of(event) for event in known])
        self.cursor = place
        self._hold_laggards(place)
        for event in known:
            note_read("notifier", event["at"])

    def relay(self, event: dict[str, Any]) -> None:
        """Send an administrator's own event to its owner and all administrators. It has no place in the journal.

        Its ``cursor`` is replaced by the true one, so that a client that keeps the last it saw is not led astray.
        """
        place = self.cursor
        if place is None:
            return  # nobody is let in before the journal is known
        message = {**event, "cursor": str(place), "relayed": True}
        self._publish([Notice(f"Notify_{event['type']}", message, event["user_id"])])
        self._hold_laggards(place)

    def protected(self, items: list[ProtectedVersion]) -> None:
        """Tell the owners and administrators that copies are safe. A hint: it has no place in the journal, and comes
        after the change it is about for all who have heard that."""
        if self.cursor is None:
            return
        cursor = str(self.cursor)
        self._publish([_protected_notice(item, cursor) for item in items])
        self._hold_laggards(self.cursor)

    def webhook_disabled(self, news: WebhookNews) -> None:
        """Tell the owner and administrators that nothing more is sent to an endpoint. A hint, as ``protected``."""
        if self.cursor is None:
            return
        self._publish([Notice(WEBHOOK_DISABLED, news, news["user_id"])])
        self._hold_laggards(self.cursor)

    def _publish(self, notices: list[Notice]) -> None:
        self.rooms.publish(notices)
        for subscription in list(self._pending):
            for notice in notices:
                subscription.offer(notice)

    def _hold_laggards(self, place: Cursor) -> None:
        """Readers that lag leave their rooms: they get what follows ``place`` at their own pace, or are dropped."""
        for member, identity in self.rooms.laggards():
            subscription = Subscription(None if member.is_admin else identity.user_id, place, place)
            self._pending.add(subscription)
            self.rooms.hold(member, subscription)
            self._spawn(partial(self._catch_up, member, subscription))

    def admit(self, member: Member, identity: Identity, as_admin: bool, since: str | int | None) -> Ack:
        """Make ``member`` that identity, from ``since`` or from now on.

        Raises ``CursorExpired`` when ``since`` cannot be honoured, ``Unavailable`` when the journal cannot be read.
        The member goes live after its ack.
        """
        room = ADMINS if as_admin else user_room(identity.user_id)
        subscription = self._subscribe(None if as_admin else identity.user_id, since)
        try:
            self.rooms.admit(member, identity, room, subscription)
        except DocsaveError:
            self._forget(subscription)
            raise
        payload = {"ok": True, "user_id": identity.user_id, "cursor": str(subscription.start)}
        return Ack(payload, then=partial(self._go_live, member, subscription))

    def _subscribe(self, user_id: int | None, since: str | int | None) -> Subscription:
        heard = self._known_cursor()
        start = heard if since is None else starting_place(since, heard)
        if sum(len(other.backlog) for other in self._pending) > REPLAY_EVENTS_HELD_MAX:
            raise Unavailable("too many clients are catching up; try again shortly")
        subscription = Subscription(user_id, start, heard)
        self._pending.add(subscription)
        try:
            missed = subscription.missed_events(self._fetch)
        except BaseException:
            self._forget(subscription)
            raise
        subscription.prepend(_notice_of(event)[:2] for event in missed)
        return subscription

    def _known_cursor(self) -> Cursor:
        if self.cursor is None:
            raise Unavailable("the journal cannot be read at the moment; try again shortly")
        return self.cursor

    def _forget(self, subscription: Subscription) -> None:
        subscription.cancel()
        self._pending.discard(subscription)

    def _go_live(self, member: Member, subscription: Subscription) -> None:
        """At once when little was missed, which is the rule; otherwise as fast as the reader takes it."""
        if not self._advance(member, subscription):
            self._spawn(partial(self._catch_up, member, subscription))

    def _catch_up(self, member: Member, subscription: Subscription) -> None:
        taken, last_progress = subscription.taken, time.monotonic()
        while not self._advance(member, subscription):
            eventlet.sleep(BREATH_SECONDS)
            if subscription.taken > taken:
                taken, last_progress = subscription.taken, time.monotonic()
            elif time.monotonic() - last_progress > STALLED_READER_SECONDS:
                self._give_up(member, subscription, "reader_stalled")

    def _give_up(self, member: Member, subscription: Subscription, reason: str) -> None:
        self.rooms.drop(member, reason)
        self._forget(subscription)

    def _advance(self, member: Member, subscription: Subscription) -> bool:
        """Queue what the reader has room for; True when there is nothing left to do. Never waits."""
        if subscription.cancelled:
            self._pending.discard(subscription)
            return True
        if len(subscription.backlog) > 2 * REPLAY_EVENTS_MAX:
            self._give_up(member, subscription, "reader_too_slow")
            return True
        while subscription.backlog and not self.rooms.lags(member):
            name, payload = subscription.backlog.popleft()
            self.rooms.send(member, name, payload)
            subscription.taken += 1
        reached = self.cursor is not None and self.cursor.event_id >= subscription.start.event_id
        if subscription.backlog or not reached or self.rooms.lags(member):
            return False
        self._pending.discard(subscription)
        self.rooms.enter(member)
        return True


def _is_known(event: FileEvent) -> bool:
    known = event["type"] in FILE_EVENT_TYPES
    if not known:
        _log.warning("unknown_event_type", type=event["type"], event_id=event["event_id"])
    return known


def _notice_of(event: FileEvent) -> Notice:
    return Notice(f"Notify_{event['type']}", event, event["user_id"], event["event_id"])


def _protected_notice(item: ProtectedVersion, cursor: str) -> Notice:
    payload = {"id": item["id"], "user_id": item["user_id"], "version": item["version"], "cursor": cursor}
    return Notice(NOTIFY_PROTECTED, payload, item["user_id"])
