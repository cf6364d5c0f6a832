"""The feed of changes: pages of the journal, and waiting for the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from docsave_services.contracts import FILES, ChangesPage, FileEvent
from docsave_services.domain.change_filter import ChangeFilter
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.filters import label_filter
from docsave_services.metrics.instruments import READER_POSITION
from docsave_services.metrics.registry import REGISTRY, Reading, Readings
from docsave_services.nameko_ext import DeadlineRpc, RpcCaller
from gateway_http.deferred import Deferred
from gateway_http.limits import FEED_DEADLINE_SECONDS
from gateway_http.measures import CONNECTIONS, WAITING
from gateway_http.request import GatewayRequest
from gateway_http.schemas import ChangesQuery
from gateway_http.server import GatewayServer
from gateway_http.waiting_room import Reader, WaitingRoom, empty_page

NOW = "now"
"""As ``since``: nothing that has happened yet, but the cursor to go on from."""


class Changes:
    """The caller's changes; an administrator's are everybody's."""

    def __init__(self, in_worker: RpcCaller, outside_worker: RpcCaller, room: WaitingRoom) -> None:
        self._in_worker = in_worker
        self._outside_worker = outside_worker
        self._room = room

    def hear(self, event: FileEvent) -> None:
        """Something changed, says the bus."""
        self._room.hear(event)

    def page(self, request: GatewayRequest, query: ChangesQuery) -> ChangesPage | Deferred:
        """What comes after ``since``; deferred when that is nothing yet and the client wants to wait.

        ``CursorExpired`` for a place of another journal or of the future, ``InvalidInput`` for one that is none.
        """
        reader = _reader(request, query)
        end = time.monotonic() + query.wait
        if query.wait and self._room.remembers(query.since):  # it comes back from its last wait: no call is needed
            page = empty_page(query.since)
        else:
            page = self._read(self._in_worker, reader, query.since, end)
        if page["items"] or not query.wait:
            return page
        return Deferred(partial(self._wait, request, reader, page, end))

    def _wait(self, request: GatewayRequest, reader: Reader, page: ChangesPage, end: float) -> ChangesPage:
        connection = request.body.get_socket()
        caller_id = request.identity.user_id
        while not page["items"] and (left := end - time.monotonic()) > 0:
            place = Cursor.parse(page["cursor"])
            found = self._room.wait(reader, caller_id, place, left, connection)
            if found is not None:
                return found
            page = self._read(self._outside_worker, reader, page["cursor"], end)
        return page

    def _read(self, call: RpcCaller, reader: Reader, since: str | None, end: float) -> ChangesPage:
        """A page from the journal; while it is empty only because of the filter, the next one, until ``end``."""
        if since == NOW:
            return empty_page(call("head")["cursor"])
        page = _ask(call, reader, since)
        while page["more"] and not page["items"] and time.monotonic() < end:
            page = _ask(call, reader, page["cursor"])
        return page


def _ask(call: RpcCaller, reader: Reader, since: str | None) -> ChangesPage:
    wanted = reader.wanted
    page: ChangesPage = call(
        "changes",
        since=since,
        limit=reader.limit,
        user_id=reader.user_id,
        types=list(wanted.types),
        folder=wanted.folder,
        labels=[label if value is None else f"{label}={value}" for label, value in wanted.labels],
    )
    return page


def _reader(request: GatewayRequest, query: ChangesQuery) -> Reader:
    wanted = ChangeFilter(tuple(query.type), query.folder, tuple(map(label_filter, query.label)))
    return Reader(None if request.identity.is_admin else request.identity.user_id, wanted, query.limit)


class ChangesProvider(DeadlineRpc):
    """Injects ``Changes`` and follows the journal for those who wait."""

    server = GatewayServer()

    def __init__(self) -> None:
        super().__init__(FILES, deadline=FEED_DEADLINE_SECONDS)

    def setup(self) -> None:
        super().setup()
        self.room = WaitingRoom(self.outside_worker())
        self.server.when_leaving(self.room.close)
        REGISTRY.register(Readings(self._readings))

    def start(self) -> None:
        super().start()
        self.container.spawn_managed_thread(self.room.run, "journal reader")

    def get_dependency(self, worker_ctx: Any) -> Changes:  # type: ignore[override] # what routes use it for
        return Changes(super().get_dependency(worker_ctx), self.outside_worker(), self.room)

    def _readings(self) -> Iterator[Reading]:
        yield Reading(CONNECTIONS, self.server.connection_count)
        yield Reading(WAITING, len(self.room))
        if self.room.cursor is not None:
            yield Reading(READER_POSITION, self.room.cursor.event_id, ("gateway",))
