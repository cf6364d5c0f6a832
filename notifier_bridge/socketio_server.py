"""Socket.IO inside Nameko: one server on the notifier's port, its events as entrypoints."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from logging import getLogger
from typing import Any
from urllib.parse import parse_qs

import eventlet
import socketio
from eventlet import wsgi
from eventlet.event import Event
from nameko.exceptions import ContainerBeingKilled, IncorrectSignature
from nameko.extensions import Entrypoint
from nameko.web.server import BindAddress, HttpOnlyProtocol, WebServer

from docsave_services.domain.client_address import client_address
from docsave_services.errors import DocsaveError, InternalError, MethodNotAllowed, NotFound, TooManySockets, Unavailable
from docsave_services.log import get_logger
from docsave_services.settings import Settings
from docsave_services.sockets import send_at_once
from notifier_bridge import asyncapi
from notifier_bridge.limits import (
    CONNECTIONS_MAX,
    MESSAGE_BYTES_MAX,
    SOCKET_TIMEOUT_SECONDS,
    URL_BYTES_MAX,
)
from notifier_bridge.strict_server import ADDRESS_KEY, Ack, StrictServer

_log = get_logger(__name__)

HEALTH_PATH = "/health/live"
ASYNCAPI_PATH = "/asyncapi.json"
FAREWELL_SECONDS = 0.5
"""How long a stopping server waits for its goodbyes to be read."""

_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_CLIENT_GONE = (errno.ECONNABORTED, errno.EPROTO, errno.EINTR)

StartResponse = Callable[..., Any]


class SocketProtocol(HttpOnlyProtocol):
    """Leaves no circle behind: a closure in the environment refers to the connection, which refers to that.

    Objects that have lived for minutes are looked for seldom, and each connection's buffers are 24 KB.
    """

    def finish(self) -> None:
        super().finish()
        self.environ: dict[str, Any] = {}


class SocketIOServer(WebServer):
    """Serves ``/socket.io`` and the health route on ``host:notifier_port``; everything else is a problem+json 404.

    Every provider of a service must use this one class: two servers would share the port through SO_REUSEPORT and
    each would get half of the requests.
    """

    @cached_property
    def settings(self) -> Settings:
        """The operator's settings."""
        return Settings.from_config(self.container.config)

    @cached_property
    def sio(self) -> StrictServer:
        """The Socket.IO server, made before it is started so that other extensions can prepare to use it."""
        return StrictServer(self.settings.cors_origins)

    @property
    def bind_addr(self) -> BindAddress:
        return BindAddress(self.settings.host, self.settings.notifier_port)

    def get_wsgi_app(self) -> Callable[..., Iterable[bytes]]:
        for provider in self._providers:
            self.sio.on(provider.event, provider.handle_event)
        surface = _HttpSurface(self.sio, self.settings.trusted_proxies)
        return socketio.WSGIApp(surface, surface.other_path)  # type: ignore[no-any-return]

    def get_wsgi_server(self, sock: Any, wsgi_app: Any, protocol: Any = SocketProtocol, debug: bool = False) -> Any:
        return wsgi.Server(
            sock,
            sock.getsockname(),
            wsgi_app,
            protocol=protocol,
            debug=debug,
            log=getLogger(__name__),
            log_output=False,
            url_length_limit=URL_BYTES_MAX,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            keepalive=SOCKET_TIMEOUT_SECONDS,
        )

    def run(self) -> None:
        """Accept connections. Running out of files, or a client that hangs up early, does not end the service."""
        connections = 0

        def released(_: Any) -> None:
            nonlocal connections
            connections -= 1

        while self._is_accepting:
            try:
                sock, address = self._sock.accept()
            except OSError as exc:
                if exc.errno not in _OUT_OF_FILES + _CLIENT_GONE:
                    raise
                _log.warning("accept_failed", error=str(exc))
                eventlet.sleep(0.1)
                continue
            if connections >= CONNECTIONS_MAX:
                sock.close()
                continue
            sock.settimeout(SOCKET_TIMEOUT_SECONDS)
            send_at_once(sock)
            connections += 1
            thread = self.container.spawn_managed_thread(partial(self.process_request, sock, address), "connection")
            thread.link(released)

    def process_request(self, sock: Any, address: Any) -> None:
        """Serve one connection; an error in it must not end the container, as it would in a managed thread."""
        try:
            super().process_request(sock, address)
        except Exception as exc:
            _log.info("connection_failed", error=repr(exc))

    def stop(self) -> None:
        """Stop accepting and say goodbye, so that clients connect elsewhere at once instead of after a time-out."""
        self._is_accepting = False
        self._gt.kill()
        self._sock.close()
        sockets = self.sio.eio.sockets
        for eio_sid in list(sockets):
            self.sio.close_transport(eio_sid)
        with eventlet.Timeout(FAREWELL_SECONDS, False):
            while any(not socket.queue.empty() for socket in list(sockets.values())):
                eventlet.sleep(0.02)


class _HttpSurface:
    """What ``socketio.WSGIApp`` calls: Engine.IO behind a check of the body's length, and the few other paths."""

    def __init__(self, sio: StrictServer, trusted_proxies: tuple[str, ...]) -> None:
        self._sio = sio
        self._trusted_proxies = trusted_proxies
        self._pages = {HEALTH_PATH: b'{"status":"ok"}', ASYNCAPI_PATH: json.dumps(asyncapi.document()).encode()}

    def handle_request(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Requests below ``/socket.io/``."""
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isascii() or not length.isdigit() or int(length[:10]) > MESSAGE_BYTES_MAX:
            return _plain(start_response, "413 Content Too Large", b"message too large")
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
        address = client_address(environ.get("REMOTE_ADDR", ""), forwarded, self._trusted_proxies)
        environ[ADDRESS_KEY] = address
        if _is_handshake(environ) and self._sio.watcher is not None and not self._sio.watcher.has_room_for(address):
            return _problem(start_response, TooManySockets(), [("Connection", "close")])
        try:
            answer: Iterable[bytes] = self._sio.handle_request(environ, start_response)
        except Exception as exc:  # the library lets some malformed requests through to here
            _log.info("bad_socket_request", error=repr(exc))
            return _plain(start_response, "400 Bad Request", b"bad request")
        return answer

    def other_path(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Requests elsewhere."""
        body = self._pages.get(environ.get("PATH_INFO", ""))
        if body is None:
            return _problem(start_response, NotFound())
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _problem(start_response, MethodNotAllowed(), [("Allow", "GET, HEAD")])
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _is_handshake(environ: dict[str, Any]) -> bool:
    return "sid" not in parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=32)


def _plain(start_response: StartResponse, status: str, text: bytes) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Connection", "close")])
    return [text]


def _problem(
    start_response: StartResponse, error: DocsaveError, headers: list[tuple[str, str]] | None = None
) -> Iterable[bytes]:
    problem = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    body = json.dumps(problem).encode()
    fixed = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    start_response(f"{error.status} {error.title}", fixed + (headers or []))
    return [body]


class SocketIOEvent(Entrypoint):
    """A method that handles one Socket.IO event: ``(self, sid, payload)`` returns an ``Ack``.

    ``connect`` gets the handshake's ``auth`` as payload; an Ack that is not ok refuses the connection. A wrong number
    of arguments and every exception become an error ack; the client never sees more than a code and a sentence.
    """

    server = SocketIOServer()
    measured_as = "socket"

    def __init__(self, event: str, **kwargs: Any) -> None:
        self.event = event
        super().__init__(**kwargs)

    def setup(self) -> None:
        self.server.register_provider(self)

    def stop(self) -> None:
        self.server.unregister_provider(self)
        super().stop()

    def handle_event(self, *args: Any) -> Ack:
        """Run the method in a worker and wait for its answer."""
        done = Event()
        try:
            self.check_signature(args, {})
            self.container.spawn_worker(self, args, {}, handle_result=partial(self._handle_result, done))
        except IncorrectSignature:
            return Ack.error("invalid_input", "send exactly one argument")
        except ContainerBeingKilled:
            return _error_ack(Unavailable())
        ack: Ack = done.wait()
        return ack

    def _handle_result(self, done: Event, worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        if exc_info is not None:
            error = exc_info[1]
            result = _error_ack(error if isinstance(error, DocsaveError) else InternalError())
        done.send(result)
        return None, None


def _error_ack(error: DocsaveError) -> Ack:
    return Ack.error(error.code, error.detail)


socketio_event = SocketIOEvent.decorator
