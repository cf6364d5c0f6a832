"""Who a socket is, and for how long: tokens and keys at the door, and a second look when something was revoked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from docsave_services.contracts import Revocation
from docsave_services.credentials import EVENTS_READ, FILES_WRITE, Credentials, require_scope
from docsave_services.errors import DocsaveError, Forbidden, Unauthenticated
from docsave_services.log import get_logger
from docsave_services.tokens import Identity
from notifier_bridge.rooms import Member, Rooms

_log = get_logger(__name__)


class Sessions:
    """Lets sockets in by their credential and ends them with it, at the sweep after that is known."""

    def __init__(self, rooms: Rooms, credentials: Credentials, spawn: Callable[[Callable[[], None]], Any]) -> None:
        self._rooms = rooms
        self._credentials = credentials
        self._spawn = spawn
        self._asking: set[str] = set()

    def learn(self, item: Revocation) -> None:
        """Something was revoked."""
        self._credentials.revocations.learn(item)

    def identify(self, credential: str, as_admin: bool) -> Identity:
        """The identity behind a token or key. ``Unauthenticated``, ``InsufficientScope`` for a key without
        ``events:read``, ``Forbidden`` for who wants to be an administrator and is none."""
        identity = self._credentials.identify(credential)
        require_scope(identity, EVENTS_READ)
        if as_admin and not identity.is_admin:
            raise Forbidden("Only an administrator gets everybody's changes")
        return identity

    def check_relay(self, member: Member | None) -> None:
        """``Forbidden`` unless the socket did ``Admin_connect``; a key must also be one that may write."""
        if member is None or member.identity is None or not member.is_admin:
            raise Forbidden
        require_scope(member.identity, FILES_WRITE)

    def sweep(self) -> None:
        """Close what may not stay. Called once a second; never waits."""
        self._rooms.sweep(self._is_over)

    def _is_over(self, member: Member) -> bool:
        if member.identity is None or not self._credentials.is_over(member.identity):
            return False
        if member.key is None:
            return True
        if member.eio_sid not in self._asking:
            self._asking.add(member.eio_sid)
            self._spawn(partial(self._ask_again, member, member.key))
        return False

    def _ask_again(self, member: Member, key: str) -> None:
        """Something happened to the owner of a key, perhaps only a new password: is the key still good?"""
        try:
            identity = self.identify(key, member.is_admin)
            if member.identity is not None and identity.user_id != member.identity.user_id:
                raise Unauthenticated
            self._replace(member, key, identity)
        except DocsaveError as error:
            # Also when nobody answers: a socket whose right to be here is in doubt does not stay.
            _log.info("key_refused_later", code=error.code)
            if member.key == key:
                self._rooms.expire(member)
        finally:
            self._asking.discard(member.eio_sid)

    def _replace(self, member: Member, key: str, identity: Identity) -> None:
        if member.key == key and member.identity is not None:
            member.identity = identity
