"""Who is connected, who they are, and how long they may stay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from docsave_services.log import get_logger
from docsave_services.tokens import Identity
from notifier_bridge.crowd import Crowd
from notifier_bridge.limits import GOODBYE_SECONDS, IDENTIFY_SECONDS, QUEUE_PACKETS_MAX
from notifier_bridge.replay import Notice, Subscription
from notifier_bridge.strict_server import StrictServer

_log = get_logger(__name__)

ADMINS = "admins"
SESSION_EXPIRED = "Session_expired"


def user_room(user_id: int) -> str:
    """The room of one user's sockets."""
    return f"user:{user_id}"


@dataclass(slots=True)
class Member:
    """One transport and whoever is behind it. ``deadline`` (monotonic seconds) is when it is closed; None: it stays.

    ``key`` is the API key it identified itself with, kept to ask again whether it is still good.
    """

    eio_sid: str
    deadline: float | None
    identity: Identity | None = None
    room: str | None = None
    subscription: Subscription | None = None
    key: str | None = field(default=None, repr=False)

    @property
    def is_admin(self) -> bool:
        """Whether it did ``Admin_connect``."""
        return self.identity is not None and self.room == ADMINS


class Rooms:
    """The sockets of this process. A member is in one room at most: its user's, or the administrators'.

    Single process: another bridge has members of its own. No method waits, so each is one step for all others.
    """

    def __init__(self, server: StrictServer, identify_seconds: float = IDENTIFY_SECONDS) -> None:
        self._server = server
        self._identify_seconds = identify_seconds
        self._members: dict[str, Member] = {}
        self._crowd = Crowd()
        server.watcher = self

    def __len__(self) -> int:
        return len(self._members)

    def counts(self) -> dict[str, int]:
        """How many there are of each kind: administrators' sockets, users', and those that have not said who they
        are."""
        kinds = {"admin": 0, "user": 0, "unidentified": 0}
        for member in self._members.values():
            kinds["unidentified" if member.identity is None else "admin" if member.is_admin else "user"] += 1
        return kinds

    def member(self, sid: str) -> Member | None:
        """The member behind a Socket.IO session, or None when it has gone."""
        eio_sid = self._server.eio_sid_of(sid)
        return None if eio_sid is None else self._members.get(eio_sid)

    def admit(self, member: Member, identity: Identity, room: str, subscription: Subscription) -> None:
        """The member is ``identity`` from now on; it leaves its old room and enters ``room`` with ``enter``.

        ``TooManySockets`` when its user has as many as one may have.
        """
        self._crowd.known(member.eio_sid, identity.user_id)
        self._leave(member)
        member.identity, member.room, member.subscription = identity, room, subscription
        member.deadline = None

    def enter(self, member: Member) -> None:
        """Start live delivery."""
        member.subscription = None
        sid = self._server.sid_of(member.eio_sid)
        if sid is not None and member.room is not None:
            self._server.enter_room(sid, member.room)

    def refuse(self, member: Member) -> None:
        """It hears nothing more and is closed in a moment, when its ack has arrived."""
        self._crowd.unknown(member.eio_sid)
        self._leave(member)
        self._close_in(member, GOODBYE_SECONDS / 2)

    def publish(self, notices: Iterable[Notice]) -> None:
        """Send to the owners' sockets and the administrators', in order; each encoded once."""
        self._server.broadcast((each.name, each.payload, (user_room(each.user_id), ADMINS)) for each in notices)

    def send(self, member: Member, event: str, payload: Mapping[str, Any]) -> None:
        """Queue for one socket."""
        sid = self._server.sid_of(member.eio_sid)
        if sid is not None:
            self._server.emit(event, payload, to=sid)

    def lags(self, member: Member) -> bool:
        """Whether half of the socket's queue is full."""
        return self._server.waiting_packets(member.eio_sid) > QUEUE_PACKETS_MAX // 2

    def laggards(self) -> list[tuple[Member, Identity]]:
        """The live members who lag since the last call."""
        found = [self._members.get(eio_sid) for eio_sid in self._server.take_filling()]
        return [(m, m.identity) for m in found if m is not None and m.identity is not None and m.subscription is None]

    def hold(self, member: Member, subscription: Subscription) -> None:
        """Stop live delivery until ``enter``; the member stays who it is."""
        sid = self._server.sid_of(member.eio_sid)
        if sid is not None and member.room is not None:
            self._server.leave_room(sid, member.room)
        member.subscription = subscription

    def drop(self, member: Member, reason: str) -> None:
        """Disconnect a socket that does not keep up."""
        self._server.drop(member.eio_sid, reason)

    def close_all(self) -> None:
        """Close every transport, so that the clients connect again."""
        for eio_sid in list(self._members):
            self._server.close_transport(eio_sid)

    def sweep(self, is_over: Callable[[Member], bool]) -> None:
        """Close what has not identified itself, was refused, or whose identity ``is_over``. Called once a second."""
        now = time.monotonic()
        for member in list(self._members.values()):
            if not self._server.is_open(member.eio_sid):
                self.gone(member.eio_sid)
            elif is_over(member):
                self.expire(member)
            elif member.deadline is not None and now >= member.deadline:
                self._close(member)
        self._server.forget_ghosts()

    # The server tells (strict_server.Watcher):

    def has_room_for(self, address: str) -> bool:
        """Whether that address may open one more transport."""
        return self._crowd.has_room_for(address)

    def opened(self, eio_sid: str, address: str) -> None:
        """A transport is open: its time to say who it is begins."""
        self._crowd.opened(eio_sid, address)
        self._members[eio_sid] = Member(eio_sid, time.monotonic() + self._identify_seconds)

    def refused(self, eio_sid: str) -> None:
        """Its CONNECT was refused: the transport follows when the answer has arrived."""
        member = self._members.get(eio_sid)
        if member is not None:
            self.refuse(member)

    def left(self, sid: str) -> None:
        """The session ended; the transport may begin another within the time to identify."""
        member = self.member(sid)
        if member is not None:
            self._crowd.unknown(member.eio_sid)
            self._leave(member)
            self._close_in(member, self._identify_seconds)

    def gone(self, eio_sid: str) -> None:
        """The transport is closed."""
        self._crowd.gone(eio_sid)
        member = self._members.pop(eio_sid, None)
        if member is not None:
            self._leave(member)

    def _leave(self, member: Member) -> None:
        sid = self._server.sid_of(member.eio_sid)
        if sid is not None and member.room is not None:
            self._server.leave_room(sid, member.room)
        if member.subscription is not None:
            member.subscription.cancel()
        member.identity = member.room = member.subscription = member.key = None

    def _close_in(self, member: Member, seconds: float) -> None:
        wanted = time.monotonic() + seconds
        member.deadline = wanted if member.deadline is None else min(member.deadline, wanted)

    def expire(self, member: Member) -> None:
        """Say ``Session_expired`` and close."""
        _log.info("session_expired", user_id=member.identity.user_id if member.identity else None)
        self._crowd.unknown(member.eio_sid)
        self._leave(member)
        self.send(member, SESSION_EXPIRED, {})
        self._close(member)

    def _close(self, member: Member) -> None:
        """First the Socket.IO goodbye, which tells a client not to try again by itself; then the transport."""
        sid = self._server.sid_of(member.eio_sid)
        if sid is None:
            self._server.close_transport(member.eio_sid)
            return
        self._server.disconnect(sid)
        self._close_in(member, GOODBYE_SECONDS)
