"""Answering a scrape: on a socket in the data directory, and on a port of its own where one is set.

Sockets rather than files, so that a value is that of this moment and an idle system writes nothing; and rather than
Prometheus' shared memory files, which end a process with SIGBUS when the disk is full.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from hmac import compare_digest
from pathlib import Path
from typing import Any

import eventlet
from eventlet.green import socket
from eventlet.semaphore import Semaphore

from docsave_services.log import get_logger
from docsave_services.metrics.exposition import CONTENT_TYPE

_log = get_logger(__name__)

SCRAPES_AT_ONCE = 4
REQUEST_BYTES_MAX = 16 * 1024
REQUEST_SECONDS = 2.0
BACKLOG = 16
ACCEPT_PAUSE_SECONDS = 0.5


def sockets_directory(data_dir: Path) -> Path:
    """Where the processes of one data directory are asked."""
    return data_dir / "run" / "metrics"


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """``path`` in the 107 bytes that a socket's name may have, however long it is."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen_in(directory: Path, name: str) -> tuple[Any, Path] | None:
    """A listening socket ``<directory>/<name>.sock``; None where none can be made, as in a read-only container."""
    path = directory / f"{name}.sock"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        starting = directory / f".{name}"
        starting.unlink(missing_ok=True)
        with short_name(starting) as short:
            sock.bind(short)
        sock.listen(BACKLOG)
        starting.rename(path)  # only now: whoever finds one that does not listen removes it
    except OSError as exc:
        sock.close()
        _log.info("metrics_socket_missing", error=exc.strerror)
        return None
    return sock, path


def listen_on(host: str, port: int) -> Any:
    """A listening TCP socket; None when the port is taken: metrics are no reason not to serve."""
    try:
        return eventlet.listen((host, port), backlog=BACKLOG, reuse_port=False)
    except OSError as exc:
        _log.warning("metrics_port_not_opened", port=port, error=exc.strerror)
        return None


class Endpoint:
    """Answers ``GET /metrics`` with ``render()`` on one listening socket; with ``token``, only to those who show it."""

    def __init__(self, sock: Any, render: Callable[[], bytes], token: str = "") -> None:
        self._sock = sock
        self._render = render
        self._token = token
        self._room = Semaphore(SCRAPES_AT_ONCE)

    def run(self) -> None:
        """Answer for ever. Kombu sets a default time-out for all sockets (kombu#838): ours waits."""
        self._sock.settimeout(None)
        while True:
            try:
                connection, _ = self._sock.accept()
            except OSError as exc:
                _log.warning("metrics_not_accepted", error=exc.strerror)
                eventlet.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            self._room.acquire()
            eventlet.spawn(self._serve, connection)

    def _serve(self, connection: Any) -> None:
        try:
            with eventlet.Timeout(REQUEST_SECONDS, False), contextlib.suppress(OSError):
                connection.sendall(self._answer(_head_of(connection)))
        except Exception:
            _log.exception("metrics_not_rendered")
        finally:
            connection.close()
            self._room.release()

    def _answer(self, head: bytes) -> bytes:
        line, _, headers = head.partition(b"\r\n")
        if line.split(b" ")[:2] != [b"GET", b"/metrics"]:
            return _response("404 Not Found", b"")
        if self._token and not compare_digest(_bearer_in(headers), self._token.encode()):
            return _response("401 Unauthorized", b"", "WWW-Authenticate: Bearer\r\n")
        return _response("200 OK", self._render())


def _head_of(connection: Any) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < REQUEST_BYTES_MAX:
        piece = connection.recv(4096)
        if not piece:
            break
        head += piece
    return head


def _bearer_in(headers: bytes) -> bytes:
    for line in headers.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"authorization":
            scheme, _, token = value.strip().partition(b" ")
            return token.strip() if scheme.lower() == b"bearer" else b""
    return b""


def _response(status: str, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}Connection: close\r\n\r\n".encode() + body
