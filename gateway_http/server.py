"""The web server of the gateway's process: its limits, its connections, its orderly end."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import eventlet
from eventlet import wsgi
from nameko.web.server import WebServer
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter, Map

from docsave_services.domain.ids import ID_MAX
from docsave_services.errors import Unavailable
from docsave_services.log import get_logger
from docsave_services.settings import Settings
from docsave_services.sockets import send_at_once
from gateway_http.app import GatewayApp
from gateway_http.idempotency import RequestsUnderWay
from gateway_http.limits import (
    ACCEPT_BACKLOG,
    CUT_SECONDS,
    DESCRIPTORS_RESERVED,
    DESCRIPTORS_WANTED,
    MAX_CONNECTIONS,
    SHUTDOWN_GRACE_SECONDS,
    SOCKET_TIMEOUT_SECONDS,
)
from gateway_http.problem import closing_answer
from gateway_http.protocol import StrictProtocol
from gateway_http.request_id import request_id_from

_log = get_logger(__name__)


_ADDRESS, _SOCKET, _STATE = range(3)


class NumberConverter(BaseConverter):
    """``<id:…>`` and ``<n:…>`` in a URL: a positive number of 32 bits with its sign, as the columns of ids and versions
    are; anything else is no path of ours (404)."""

    regex = "[1-9][0-9]{0,9}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if number > ID_MAX:
            raise NotFound  # a ValidationError would be 405 where another method has the same path
        return number


class HexIdConverter(BaseConverter):
    """``<upload:…>`` and ``<session:…>`` in a URL: the 32 hexadecimal digits of one; anything else is 404."""

    regex = "[0-9a-f]{32}"


class SegmentConverter(BaseConverter):
    """``<name:…>`` and its siblings: any text between two slashes; what it may be is for the route to say."""

    regex = "[^/]*"


CONVERTERS: dict[str, type[BaseConverter]] = {
    "id": NumberConverter,
    "n": NumberConverter,
    "upload": HexIdConverter,
    "session": HexIdConverter,
    "system": SegmentConverter,
    "key": SegmentConverter,
    "name": SegmentConverter,
}


class GatewayServer(WebServer):
    """One server a process, shared by all routes. At most ``MAX_CONNECTIONS``; at SIGTERM requests in progress have
    ``SHUTDOWN_GRACE_SECONDS`` to finish."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way = RequestsUnderWay()
        self._connections: list[list[Any]] = []
        self._draining = False
        self._starting = False
        self._on_leaving: list[Callable[[], None]] = []

    def when_leaving(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the server stops taking requests: whoever only waits must end by itself."""
        self._on_leaving.append(callback)

    def setup(self) -> None:
        self.settings = Settings.from_config(self.container.config)
        self.settings.require("secret_key")
        self._connections_max = min(MAX_CONNECTIONS, _allow_descriptors() - DESCRIPTORS_RESERVED)
        # A request waits for its body in a worker: as many workers as connections, or slow uploads block everybody.
        self.container._worker_pool.resize(self._connections_max)

    def start(self) -> None:
        if self._starting:
            return
        self._starting = True
        self._sock = eventlet.listen(self.bind_addr, backlog=ACCEPT_BACKLOG)
        self._sock.settimeout(None)  # kombu sets a default time-out for all sockets (kombu#838)
        self._serv = self.get_wsgi_server(self._sock, self.get_wsgi_app())
        self._gt = self.container.spawn_managed_thread(self.run)

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def get_wsgi_app(self) -> GatewayApp:
        return GatewayApp(self.make_url_map(), self.settings)

    def make_url_map(self) -> Map:
        url_map = Map(converters=CONVERTERS, merge_slashes=False, strict_slashes=True)
        for provider in self._providers:
            rule = provider.get_url_rule()
            rule.endpoint = provider
            url_map.add(rule)
        return url_map

    def get_wsgi_server(
        self, sock: Any, wsgi_app: Any, protocol: Any = StrictProtocol, debug: bool = False
    ) -> wsgi.Server:
        server = wsgi.Server(
            sock,
            sock.getsockname(),
            wsgi_app,
            protocol=protocol,
            debug=debug,
            log_output=False,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
        )
        server.capitalize_response_headers = False  # it would write Etag; given as an argument it warns
        return server

    def run(self) -> None:
        while not self._draining:
            try:
                sock, address = self._sock.accept()
            except OSError as exc:
                if self._draining:
                    return
                _log.warning("accept_failed", error=str(exc))
                eventlet.sleep(0.1)
                continue
            sock.settimeout(SOCKET_TIMEOUT_SECONDS)
            send_at_once(sock)
            self.container.spawn_managed_thread(partial(self._serve, sock, address), identifier="connection")

    def _serve(self, sock: Any, address: Any) -> None:
        connection = [address, sock, wsgi.STATE_IDLE]
        if not self._make_room():
            with contextlib.suppress(OSError):
                sock.sendall(closing_answer(Unavailable("Too many connections"), request_id_from(None)))
            sock.close()
            return
        self._connections.append(connection)
        try:
            StrictProtocol(connection, self._serv)
        except Exception as exc:
            # Whatever one connection does, it must not end the process: Nameko stops it for a thread that raises.
            _log.warning("connection_failed", error=repr(exc))
        finally:
            self._connections.remove(connection)
            with contextlib.suppress(OSError):
                sock.close()

    def _make_room(self) -> bool:
        """Whether one more connection fits; the longest idle one goes to make it fit."""
        if len(self._connections) < self._connections_max:
            return True
        idle = next((c for c in self._connections if c[_STATE] == wsgi.STATE_IDLE), None)
        if idle is not None:
            _shut(idle)
        return idle is not None

    def drain(self) -> None:
        """Accept nobody any more, let requests in progress finish, cut the others. Every route calls it."""
        if self._serv is None:
            return
        if not self._draining:
            self._draining = True
            self._serv.keepalive = False
            self._sock.close()  # before the next line, which lets other green threads run
            self._gt.kill()
            for callback in self._on_leaving:
                callback()
        end = time.monotonic() + SHUTDOWN_GRACE_SECONDS
        while self._connections and time.monotonic() < end:
            self._shut_all(only_idle=True)
            eventlet.sleep(0.02)
        self._shut_all(only_idle=False)
        end = time.monotonic() + CUT_SECONDS
        while self._connections and time.monotonic() < end:
            eventlet.sleep(0.02)

    def _shut_all(self, only_idle: bool) -> None:
        for connection in list(self._connections):
            if not only_idle or connection[_STATE] == wsgi.STATE_IDLE:
                _shut(connection)

    def stop(self) -> None:
        self.wait_for_providers()


def _allow_descriptors() -> int:
    """Raise this process's limit of open files as far as it is wanted and allowed; the limit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return DESCRIPTORS_WANTED if soft == resource.RLIM_INFINITY else soft


def _shut(connection: list[Any]) -> None:
    """End a connection from outside: whoever waits on it wakes up and cleans up behind itself."""
    connection[_STATE] = wsgi.STATE_CLOSE
    with contextlib.suppress(OSError):
        connection[_SOCKET].shutdown(2)  # SHUT_RDWR
