"""Requests that wait until their change is safe in the backup (``Prefer: wait=10``).

One that waits holds its connection and a few hundred bytes here: no worker, no call, no database connection. The bus
tells what became safe; because a hint may be lost, one call asks for all who wait now and then.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import eventlet
from eventlet.event import Event
from werkzeug.wrappers import Response

from docsave_services.contracts import FILES, BackupState, ProtectedNews, StoredFile
from docsave_services.errors import DocsaveError
from docsave_services.log import get_logger
from docsave_services.nameko_ext import DeadlineRpc, RpcCaller
from docsave_services.wake import Wake
from gateway_http.deferred import Deferred
from gateway_http.limits import (
    FEED_DEADLINE_SECONDS,
    PROTECTION_WAITERS_MAX,
    PROTECTION_WAITERS_OF_USER_MAX,
    RECENT_EVENTS,
)
from gateway_http.prefer import preferred_wait
from gateway_http.presence import told_when_gone
from gateway_http.request import GatewayRequest
from gateway_http.responses import Saved, saved_response
from gateway_http.server import GatewayServer

_log = get_logger(__name__)

LOOK_SECONDS = 2.0
"""A lost hint costs whoever waits this much."""

LOOKED_AT_MAX = 1000
"""Files asked for in one call; as many as the files service answers for at once."""


@dataclass(slots=True, eq=False)
class _Waiter:
    file_id: int
    version: int
    user_id: int
    signal: Any = field(default_factory=Event)

    def wake(self) -> None:
        if not self.signal.ready():
            self.signal.send()


class ProtectionRoom:
    """Who waits in this process for which version to be safe, and which became safe lately."""

    def __init__(self, files: RpcCaller) -> None:
        self._files = files
        self._safe: OrderedDict[int, int] = OrderedDict()
        self._waiters: dict[int, set[_Waiter]] = {}
        self._waits_of: dict[int, int] = {}
        self._come = Wake()
        self._closed = False

    def __len__(self) -> int:
        return sum(self._waits_of.values())

    def learn(self, file_id: int, version: int) -> None:
        """That version and all before it are safe."""
        self._safe[file_id] = max(version, self._safe.pop(file_id, 0))
        while len(self._safe) > RECENT_EVENTS:
            self._safe.popitem(last=False)
        for waiter in self._waiters.get(file_id, ()):
            if waiter.version <= version:
                waiter.wake()

    def has_room(self, user_id: int) -> bool:
        """Whether one more of this user may wait."""
        of_user = self._waits_of.get(user_id, 0)
        return not self._closed and len(self) < PROTECTION_WAITERS_MAX and of_user < PROTECTION_WAITERS_OF_USER_MAX

    def wait(self, file_id: int, version: int, user_id: int, seconds: float, connection: Any) -> bool:
        """Whether the version is safe: as soon as it is, or after ``seconds``; at once when the client has gone or
        the process stops."""
        waiter = _Waiter(file_id, version, user_id)
        self._admit(waiter)
        try:
            if not self._is_safe(waiter) and not self._closed:
                self._come.ring()
                with told_when_gone(connection, waiter.wake), eventlet.Timeout(seconds, False):
                    waiter.signal.wait()
            return self._is_safe(waiter)
        finally:
            self._dismiss(waiter)

    def run(self) -> None:
        """Until ``close``: while somebody waits, look now and then what became safe without being told."""
        while not self._closed:
            if not self._waiters:
                self._come.wait()
            eventlet.sleep(LOOK_SECONDS)
            self._look()

    def close(self) -> None:
        """Let everybody go, at once."""
        self._closed = True
        self._come.ring()
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.wake()

    def _look(self) -> None:
        file_ids = list(self._waiters)[:LOOKED_AT_MAX]
        if not file_ids or self._closed:
            return
        try:
            files: list[StoredFile | None] = self._files("get_many", file_ids=file_ids)
        except DocsaveError as exc:
            _log.warning("protection_unknown", error=str(exc))
            return
        for file in filter(None, files):
            self.learn(file["id"], file["backup"]["version"])

    def _is_safe(self, waiter: _Waiter) -> bool:
        return self._safe.get(waiter.file_id, 0) >= waiter.version

    def _admit(self, waiter: _Waiter) -> None:
        self._waits_of[waiter.user_id] = self._waits_of.get(waiter.user_id, 0) + 1
        self._waiters.setdefault(waiter.file_id, set()).add(waiter)

    def _dismiss(self, waiter: _Waiter) -> None:
        self._waits_of[waiter.user_id] -= 1
        if not self._waits_of[waiter.user_id]:
            del self._waits_of[waiter.user_id]
        waiters = self._waiters[waiter.file_id]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[waiter.file_id]


class Protection:
    """Answers changes, now or when they are safe."""

    def __init__(self, room: ProtectionRoom) -> None:
        self._room = room

    def hear(self, news: ProtectedNews) -> None:
        """The files service says what became safe."""
        for item in news["items"]:
            self._room.learn(item["id"], item["version"])

    def answer(self, request: GatewayRequest, saved: Saved) -> Response | Deferred:
        """The file as ``saved_response`` has it. With ``Prefer: wait=N``, when its version is safe in the backup or
        ``N`` seconds are over, with the state reached and ``Preference-Applied``.

        When too many wait already it is answered at once, without that header: the change is made.
        """
        seconds = preferred_wait(request.environ.get("HTTP_PREFER"))
        user_id = request.identity.user_id
        if not seconds or not (saved.file["backup"]["state"] == "protected" or self._room.has_room(user_id)):
            return saved_response(saved)
        end = time.monotonic() + seconds
        return Deferred(partial(self._finish, request, saved, seconds, end), asks_again=False)

    def _finish(self, request: GatewayRequest, saved: Saved, seconds: int, end: float) -> Response:
        file = saved.file
        if file["backup"]["state"] != "protected":
            left, connection = end - time.monotonic(), request.body.get_socket()
            if self._room.wait(file["id"], file["version"], request.identity.user_id, left, connection):
                reached: BackupState = {"state": "protected", "version": file["version"]}
                saved = replace(saved, file={**file, "backup": reached})
        response = saved_response(saved)
        response.headers["Preference-Applied"] = f"wait={seconds}"
        return response


class ProtectionProvider(DeadlineRpc):
    """Injects ``Protection``; one room for all requests of the process."""

    server = GatewayServer()

    def __init__(self) -> None:
        super().__init__(FILES, deadline=FEED_DEADLINE_SECONDS)

    def setup(self) -> None:
        super().setup()
        self.room = ProtectionRoom(self.outside_worker())
        self.server.when_leaving(self.room.close)

    def start(self) -> None:
        super().start()
        self.container.spawn_managed_thread(self.room.run, "protection")

    def get_dependency(self, worker_ctx: Any) -> Protection:  # type: ignore[override] # what routes use it for
        return Protection(self.room)
