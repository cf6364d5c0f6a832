"""The notifier: tells connected people of changes while they happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import eventlet

from docsave_services.contracts import (
    FILE_CREATE,
    FILE_DELETE,
    FILE_PROTECTED,
    FILE_UPDATE,
    FILES,
    NOTIFIER,
    RELAYED,
    REVOKED,
    USERS,
    WEBHOOK_DISABLED,
    WEBHOOKS,
    FileEvent,
    ProtectedNews,
    Revocation,
    WebhookNews,
)
from docsave_services.credentials import CredentialsProvider
from docsave_services.errors import DocsaveError, Forbidden, InsufficientScope, Unauthenticated, Unavailable
from docsave_services.log import get_logger
from docsave_services.metrics.instruments import READER_POSITION
from docsave_services.metrics.provider import Metrics
from docsave_services.metrics.registry import REGISTRY, Gauge, Reading, Readings
from docsave_services.nameko_ext import CalmCollector, DeadlineRpc, PromptStop, RequestContext, hint, rpc
from docsave_services.settings import Settings, SettingsProvider
from notifier_bridge.feed import Feed
from notifier_bridge.limits import FILES_DEADLINE_SECONDS, IDENTIFY_SECONDS, SWEEP_SECONDS
from notifier_bridge.payloads import parse_identification, parse_relayed_event
from notifier_bridge.relay import Relay
from notifier_bridge.rooms import Rooms
from notifier_bridge.sessions import Sessions
from notifier_bridge.socketio_server import SocketIOServer, socketio_event
from notifier_bridge.strict_server import Ack

_log = get_logger(__name__)


SOCKETS = Gauge("docsave_sockets", "Open sockets by who is behind them.", ("kind",))


class LiveFeed(DeadlineRpc):
    """Injects the process's ``Feed`` and runs its loop, reading the journal."""

    server = SocketIOServer()
    identify_seconds = IDENTIFY_SECONDS

    def __init__(self) -> None:
        super().__init__(FILES, deadline=FILES_DEADLINE_SECONDS)

    def setup(self) -> None:
        rooms = Rooms(self.server.sio, self.identify_seconds)
        self.feed = Feed(self.outside_worker(), rooms, self.container.spawn_managed_thread)
        REGISTRY.register(Readings(self._readings))

    def start(self) -> None:
        self.container.spawn_managed_thread(self.feed.run, "journal reader")

    def stop(self) -> None:
        self.feed.stop()

    def get_dependency(self, worker_ctx: Any) -> Feed:  # type: ignore[override]
        return self.feed

    def _readings(self) -> Iterator[Reading]:
        for kind, count in self.feed.rooms.counts().items():
            yield Reading(SOCKETS, count, (kind,))
        if self.feed.cursor is not None:
            yield Reading(READER_POSITION, self.feed.cursor.event_id, ("notifier",))


class SessionsProvider(CredentialsProvider):
    """Injects the process's ``Sessions`` and runs the loop that sweeps the sockets."""

    def start(self) -> None:
        super().start()
        feed = next(each for each in self.container.dependencies if isinstance(each, LiveFeed)).feed
        self.sessions = Sessions(feed.rooms, self.credentials, self.container.spawn_managed_thread)
        self.container.spawn_managed_thread(self._sweep, "sweep")

    def get_dependency(self, worker_ctx: Any) -> Sessions:  # type: ignore[override]
        return self.sessions

    def _sweep(self) -> None:
        while True:
            eventlet.sleep(SWEEP_SECONDS)
            self.sessions.sweep()


def acknowledged(method: Callable[[Any, str, object], Ack]) -> Callable[[Any, str, object], Ack]:
    """A coded error becomes the ack, without the traceback that Nameko logs for what leaves a method.

    Bad tokens and a wrong role also end the connection, a moment after their ack.
    """

    @wraps(method)
    def handler(self: Any, sid: str, payload: object) -> Ack:
        try:
            return method(self, sid, payload)
        except DocsaveError as error:
            _log.info("socket_request_refused", request=method.__name__, code=error.code)
            return Ack.error(error.code, error.detail)

    return handler


class Notifier:
    """Socket.IO in and out, journal events in. Keeps nothing that matters after a restart."""

    name = NOTIFIER

    feed: Feed = LiveFeed()
    sessions: Sessions = SessionsProvider()
    settings: Settings = SettingsProvider("secret_key")
    request_id = RequestContext()
    prompt_stop = PromptStop()
    calm_collector = CalmCollector()
    metrics = Metrics()
    relay: Callable[[dict[str, Any]], None] = Relay()

    @rpc
    def health(self) -> dict[str, Any]:
        """Whether the journal is followed, and how many sockets are open."""
        return {"journal": "ok" if self.feed.cursor else "unavailable", "sockets": len(self.feed.rooms)}

    @hint(FILES, FILE_CREATE)
    @hint(FILES, FILE_UPDATE)
    @hint(FILES, FILE_DELETE)
    def file_changed(self, event: FileEvent) -> None:
        """A hint from the bus; what it says is read from the journal when it does not fit."""
        _log.info("event_heard", event_id=event.get("event_id") if isinstance(event, dict) else None)
        self.feed.offer(event)

    @hint(FILES, FILE_PROTECTED)
    def file_protected(self, news: ProtectedNews) -> None:
        """Copies of these versions are safe; whoever misses it sees it in the file's ``backup``."""
        self.feed.protected(news["items"])

    @hint(WEBHOOKS, WEBHOOK_DISABLED)
    def webhook_disabled(self, news: WebhookNews) -> None:
        """An endpoint was disabled; whoever misses it sees it in ``GET /webhooks``."""
        self.feed.webhook_disabled(news)

    @hint(NOTIFIER, RELAYED)
    def event_relayed(self, event: dict[str, Any]) -> None:
        """An administrator's own event, from whichever process has the socket."""
        self.feed.relay(event)

    @hint(USERS, REVOKED)
    def revoked(self, item: Revocation) -> None:
        """A session, a user's older tokens or a key is over: its sockets are closed at the next sweep."""
        self.sessions.learn(item)

    @socketio_event("connect")
    @acknowledged
    def connect(self, sid: str, auth: object) -> Ack:
        """The handshake; ``auth`` with a token does what ``User_connect`` does."""
        if auth is None or (isinstance(auth, dict) and "token" not in auth):
            return Ack({"ok": True})
        return self._identify(sid, auth, as_admin=False)

    @socketio_event("User_connect")
    @acknowledged
    def user_connect(self, sid: str, payload: object) -> Ack:
        """From now on this socket hears of its user's files."""
        return self._identify(sid, payload, as_admin=False)

    @socketio_event("Admin_connect")
    @acknowledged
    def admin_connect(self, sid: str, payload: object) -> Ack:
        """From now on this socket hears of all files; administrators only."""
        return self._identify(sid, payload, as_admin=True)

    @socketio_event(FILE_CREATE)
    @acknowledged
    def relay_create(self, sid: str, payload: object) -> Ack:
        """An administrator's own event, relayed only."""
        return self._relay(sid, payload, FILE_CREATE)

    @socketio_event(FILE_UPDATE)
    @acknowledged
    def relay_update(self, sid: str, payload: object) -> Ack:
        """An administrator's own event, relayed only."""
        return self._relay(sid, payload, FILE_UPDATE)

    @socketio_event(FILE_DELETE)
    @acknowledged
    def relay_delete(self, sid: str, payload: object) -> Ack:
        """An administrator's own event, relayed only."""
        return self._relay(sid, payload, FILE_DELETE)

    def _identify(self, sid: str, payload: object, as_admin: bool) -> Ack:
        wish = parse_identification(payload)
        member = self.feed.rooms.member(sid)
        if member is None:
            raise Unavailable("this socket is closed")
        try:
            identity = self.sessions.identify(wish.token, as_admin)
        except (Unauthenticated, InsufficientScope, Forbidden):
            self.feed.rooms.refuse(member)
            raise
        ack = self.feed.admit(member, identity, as_admin, wish.since)
        member.key = None if identity.key_id is None else wish.token
        return ack

    def _relay(self, sid: str, payload: object, event_type: str) -> Ack:
        self.sessions.check_relay(self.feed.rooms.member(sid))
        self.relay(parse_relayed_event(payload, event_type))
        return Ack({"ok": True})
