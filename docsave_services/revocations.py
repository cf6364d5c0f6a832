"""What was revoked lately, known in each process that verifies tokens, so that no request has to ask (ADR 009).

A token says of itself what it is worth, for 15 minutes. What ends it earlier reaches each process twice: as a
broadcast event, within milliseconds, and through a pull every few seconds, which misses nothing that the bus lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import eventlet

from docsave_services.contracts import USERS, Revocation, RevocationPage
from docsave_services.errors import DocsaveError, Unauthenticated, Unavailable
from docsave_services.log import get_logger
from docsave_services.nameko_ext import DeadlineRpc
from docsave_services.tokens import ACCESS_TOKEN_SECONDS, Identity

_log = get_logger(__name__)

PULL_SECONDS = 2.5
"""Between two pulls. With the pull's own time it stays below the 5 s in which a revocation must be known."""

PULL_DEADLINE_SECONDS = 2.0
STALE_SECONDS = 30.0
"""Without a pull for so long nobody is let in: who was revoked meanwhile is not known."""

FIRST_PULL_SECONDS = 2.0
"""How long a request waits for the first pull of a process that has just started."""

ITEMS_MAX = 100_000
"""Most revocations remembered; past it the oldest are replaced by a date before which every token is refused."""

MEMORY_SECONDS = float(ACCESS_TOKEN_SECONDS)
"""An item without a usable end is remembered this long: no token lives longer, no answer about a key is kept longer."""


@dataclass(slots=True)
class _Ended:
    """Until when it must be remembered (seconds since 1970), and what it says."""

    until: float
    min_version: int = 0


@dataclass(slots=True)
class RevocationView:
    """The revocations that a token still valid by itself could be hit by. Bounded; nothing here waits."""

    clock: Callable[[], float] = time.time
    seq: int | None = None
    _pulled: float | None = None
    _floor: float = 0.0
    _sessions: dict[str, _Ended] = field(default_factory=dict)
    _users: dict[int, _Ended] = field(default_factory=dict)
    _keys: dict[int, _Ended] = field(default_factory=dict)

    def learn(self, item: Revocation) -> None:
        """Remember one item, from an event or a pull; again is harmless. What cannot be read is logged."""
        try:
            self._remember(item)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            _log.error("revocation_unreadable", error=repr(exc))

    def learn_page(self, page: RevocationPage) -> None:
        """Remember what a pull brought: from now on the view is fresh."""
        for item in page["items"]:
            self.learn(item)
        self.seq = int(page["seq"])
        self._pulled = time.monotonic()
        self._forget_old()

    @property
    def is_fresh(self) -> bool:
        """Whether the last pull is recent enough to judge by."""
        return self._pulled is not None and time.monotonic() - self._pulled <= STALE_SECONDS

    @property
    def was_pulled(self) -> bool:
        """Whether there was a pull at all."""
        return self._pulled is not None

    def check(self, identity: Identity) -> None:
        """Raise ``Unauthenticated`` for an identity that was revoked, ``Unavailable`` when that is not known."""
        if self.is_revoked(identity):
            raise Unauthenticated
        if not self.is_fresh:
            raise Unavailable("It is not known at the moment whose sessions have ended; try again shortly")

    def is_revoked(self, identity: Identity) -> bool:
        """Whether it is known that this identity is over: its session, its key, or all that its user had before."""
        ended = self._users.get(identity.user_id)
        if ended is not None and identity.version < ended.min_version:
            return True
        if identity.key_id is not None:
            return identity.key_id in self._keys
        return identity.expires_at <= self._floor or identity.session_id in self._sessions

    def _remember(self, item: Revocation) -> None:
        kind, until = item["kind"], self._until(item.get("until"))
        if kind == "session":
            self._sessions[str(item["id"])] = _Ended(until)
        elif kind == "key":
            self._keys[int(item["id"])] = _Ended(until)
        elif kind == "user":
            known = self._users.get(int(item["id"]), _Ended(until))
            self._users[int(item["id"])] = _Ended(until, max(known.min_version, int(item["min_version"] or 0)))
        else:
            raise ValueError(f"unknown kind {kind!r}")
        if len(self._sessions) + len(self._users) + len(self._keys) > ITEMS_MAX:
            self._make_room()

    def _until(self, text: str | None) -> float:
        """An item's end; at least a token's life from now when it says nothing or "for ever"."""
        longest = self.clock() + MEMORY_SECONDS
        return longest if text is None else min(datetime.fromisoformat(text).timestamp(), longest)

    def _forget_old(self) -> None:
        now = self.clock()
        for known in self._all:
            for key in [key for key, ended in known.items() if ended.until < now]:
                del known[key]

    def _make_room(self) -> None:
        """Drop the oldest tenth of all; every token that could be one of theirs is refused instead."""
        oldest = sorted(ended.until for known in self._all for ended in known.values())[ITEMS_MAX // 10]
        self._floor = max(self._floor, oldest)
        for known in self._all:
            for key in [key for key, ended in known.items() if ended.until <= oldest]:
                del known[key]
        _log.warning("revocations_shortened", kept=len(self._sessions) + len(self._users) + len(self._keys))

    @property
    def _all(self) -> tuple[dict[Any, _Ended], ...]:
        return (self._sessions, self._users, self._keys)


class Revocations:
    """The process's view and the ways it is kept up to date."""

    def __init__(self, pull: Callable[[int | None], RevocationPage]) -> None:
        self._pull = pull
        self.view = RevocationView()

    def learn(self, item: Revocation) -> None:
        """An event from the bus."""
        self.view.learn(item)

    def check(self, identity: Identity) -> None:
        """``view.check``; in a process that has just started it waits for the first pull."""
        if not self.view.was_pulled:
            with eventlet.Timeout(FIRST_PULL_SECONDS, False):
                while not self.view.was_pulled:
                    eventlet.sleep(0.02)
        self.view.check(identity)

    def catch_up(self) -> None:
        """Pull now: this process has just asked for a revocation and acts on it before it answers.

        A failure is logged only: the event and the next pull bring the same.
        """
        try:
            self.pull_once()
        except DocsaveError as exc:
            _log.warning("revocations_not_pulled", error=str(exc))
        except Exception:  # it runs in a thread whose end would be the process's
            _log.exception("revocations_not_pulled")

    def pull_once(self) -> None:
        """One pull. ``users`` gives everything for a place from the future, as after a restored database."""
        self.view.learn_page(self._pull(self.view.seq))

    def run(self) -> None:
        """Pull for ever."""
        while True:
            self.catch_up()
            eventlet.sleep(PULL_SECONDS if self.view.is_fresh else PULL_SECONDS / 10)


class RevocationsProvider(DeadlineRpc):
    """Keeps the process's ``Revocations`` up to date."""

    def __init__(self) -> None:
        super().__init__(USERS, PULL_DEADLINE_SECONDS)

    def setup(self) -> None:
        super().setup()
        self.revocations = Revocations(lambda since: self.outside_worker()("revocations", since=since))

    def start(self) -> None:
        super().start()
        self.container.spawn_managed_thread(self.revocations.run, "revocations")
