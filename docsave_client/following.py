"""Following changes: live over Socket.IO, over ``/changes`` while that is away or too much was missed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from docsave_client.backoff import Backoff
from docsave_client.cursor_file import CursorKeeper, is_after
from docsave_client.errors import CursorExpired, NotLoggedIn, NotReachable, StoppedByCaller
from docsave_client.live import LiveConnection
from docsave_client.transport import Credential
from docsave_client.types import Changes, Event

PAGE_EVENTS = 1000
POLL_SECONDS = 5
"""How long one request waits for a change; a stop is not noticed sooner."""

SOCKET_PAUSE = Backoff(first=1.0, longest=60.0)
"""Between tries to connect; meanwhile changes come by polling."""

STEADY_SECONDS = 30.0
"""A connection that lasted so long was a good one: the next trouble is a new one."""

PATIENCE_SECONDS = 600.0


class Feed(Protocol):
    """Reading ``/changes``."""

    def changes(self, since: str | None = None, *, limit: int = 100, wait: int = 0) -> Changes:
        """One page."""

    def own_user_id(self) -> int | None:
        """Whose token it is, where that can be known."""


@dataclass(frozen=True, slots=True)
class Listener:
    """What the caller does: ``handle`` each change (its place is kept when that returns), ``reload`` after the journal
    was replaced (called when the new place is known, so that nothing slips through), ``idle`` now and then, and
    ``notice`` what is going on."""

    handle: Callable[[Event], None]
    reload: Callable[[], None] = lambda: None
    idle: Callable[[], None] = lambda: None
    notice: Callable[[str], None] = lambda text: None


class Follower:
    """Hands every change after the kept place to ``listener``, in order and once. Ends when ``stop`` is set."""

    def __init__(
        self,
        feed: Feed,
        notifier_url: str,
        credential: Credential,
        listener: Listener,
        keeper: CursorKeeper,
        *,
        admin: bool,
        from_start: bool,
        stop: threading.Event,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._feed = feed
        self._notifier_url = notifier_url
        self._credential = credential
        self._listener = listener
        self._keeper = keeper
        self._greeting = "Admin_connect" if admin else "User_connect"
        self._admin = admin
        self._from_start = from_start
        self._stop = stop
        self._patience = patience
        self._cursor = keeper.load()
        self._user_id: int | None = None
        self._last_success = time.monotonic()

    def run(self) -> None:
        """Follow until ``stop``. ``NotReachable`` when nothing answered for ``patience`` seconds, ``NotLoggedIn`` and
        other refusals when the server does not let us."""
        if self._cursor is None and self._from_start:
            self._retried(self.catch_up)
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except CursorExpired:
                self._listener.notice("too much was missed to be sent again, or the journal was replaced: reading it")
                self._retried(self.catch_up)
            except NotReachable as exc:
                self._listener.notice(f"{exc}; asking for changes instead")
            except StoppedByCaller:
                return
            failures = 0 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            self._poll_for(SOCKET_PAUSE.pause(failures))

    def catch_up(self) -> None:
        """Handle everything that is in the journal now."""
        more = True
        while more and not self._stop.is_set():
            more = self._take_page(wait=0)

    def _listen(self) -> None:
        connection = self._connect()
        try:
            self._succeeded()
            self._user_id = connection.ack["user_id"]
            if self._cursor is None:
                self._keep(connection.ack["cursor"])
            self._listener.notice("connected")
            for event in connection.events():
                if self._stop.is_set():
                    return
                if event is None:
                    self._listener.idle()
                else:
                    self._take(cast(Event, event))
            self._succeeded()
            self._listener.notice("the connection ended")
        finally:
            connection.close()

    def _connect(self) -> LiveConnection:
        token = self._credential.bearer()
        try:
            return LiveConnection(self._notifier_url, self._greeting, token, self._cursor)
        except NotLoggedIn:
            if not self._credential.renew(token):
                raise
        return LiveConnection(self._notifier_url, self._greeting, self._credential.bearer(), self._cursor)

    def _poll_for(self, seconds: float) -> None:
        """Read the feed while the socket is left alone for ``seconds``."""
        end = time.monotonic() + seconds
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            wait = max(1, min(POLL_SECONDS, int(left)))
            if not self._retried(partial(self._take_page, wait)):
                self._stop.wait(min(1.0, left))
            self._listener.idle()

    def _retried(self, work: Callable[[], Any]) -> bool:
        """Run ``work``; False when nobody answered. ``NotReachable`` when that has been so for too long."""
        try:
            work()
        except StoppedByCaller:
            return True
        except NotReachable:
            if time.monotonic() - self._last_success > self._patience:
                raise
            return False
        return True

    def _take_page(self, wait: int) -> bool:
        """One page of the feed; whether the journal goes on after it."""
        try:
            page = self._feed.changes(self._cursor or self._first(), limit=PAGE_EVENTS, wait=wait)
        except CursorExpired:
            self._start_over()
            return self._from_start
        self._succeeded()
        for event in page["items"]:
            if self._stop.is_set():
                return False
            if self._is_wanted(event):
                self._take(event)
        self._keep(page["cursor"])
        return page["more"]

    def _first(self) -> str | None:
        return None if self._from_start else "now"

    def _start_over(self) -> None:
        """Another journal: from its present on, or from its start for who wants everything."""
        self._cursor = None
        if not self._from_start:
            self._keep(self._feed.changes("now")["cursor"])
        self._listener.reload()

    def _is_wanted(self, event: Event) -> bool:
        """``/changes`` gives an administrator everything; without ``admin`` that is not what was asked for."""
        if self._admin:
            return True
        if self._user_id is None:
            self._user_id = self._feed.own_user_id()
        return self._user_id in (None, event["user_id"])

    def _take(self, event: Event) -> None:
        if event.get("relayed"):
            self._listener.handle(event)  # it is not in the journal and has no place of its own
            return
        cursor = event["cursor"]
        if self._cursor and not is_after(cursor, self._cursor):
            return
        self._listener.handle(event)
        self._keep(cursor)

    def _keep(self, cursor: str) -> None:
        if cursor != self._cursor:
            self._keeper.save(cursor)
            self._cursor = cursor

    def _succeeded(self) -> None:
        self._last_success = time.monotonic()
