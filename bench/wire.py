"""HTTP clients in one thread that cost little: the measured programs run on the same processors."""

from __future__ import annotations

import itertools
import os
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from docsave_services.runtime.ports import LOOPBACK

SMALL_BYTES = 20_000
PATIENCE_SECONDS = 60.0
_READ_BYTES = 256 * 1024
_numbers = itertools.count()
_filling = os.urandom(SMALL_BYTES)


@dataclass(slots=True)
class Load:
    """What came of a load: answers a second, and each one's milliseconds in order of size."""

    rate: float
    took: list[float]

    @property
    def p99(self) -> float:
        """Below it are 99 of 100."""
        return self.took[min(len(self.took) - 1, int(len(self.took) * 0.99))]


@dataclass(slots=True)
class _Connection:
    sock: socket.socket
    began: float = 0.0
    answer: bytearray = field(default_factory=bytearray)
    wanted: int = -1  # bytes of the whole answer, once its head is here

    @property
    def body(self) -> bytes:
        """What follows the head of the answer."""
        return bytes(self.answer.partition(b"\r\n\r\n")[2])


def new_content() -> bytes:
    """Bytes that no blob has yet, 20 KB of them."""
    unique = f"{next(_numbers)}-{os.getpid()}-{time.time_ns()}-".encode()
    return unique + _filling[len(unique) :]


def request(method: str, path: str, token: str = "", body: bytes | None = None) -> bytes:
    """One request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines += ["Content-Type: application/octet-stream", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def load(
    port: int,
    at_once: int,
    seconds: float,
    make: Callable[[], bytes],
    heard: Callable[[bytes], None] | None = None,
) -> Load:
    """So many connections, each with the next request as soon as it has an answer. ``heard`` gets their bodies."""
    selector = selectors.DefaultSelector()
    connections = [_Connection(socket.create_connection((LOOPBACK, port))) for _ in range(at_once)]
    took: list[float] = []
    for connection in connections:
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection.sock, selectors.EVENT_READ, connection)
    began = time.monotonic()
    end = began + seconds
    for connection in connections:
        _send(connection, make())
    open_ones = at_once
    while open_ones:
        for key, _ in selector.select(PATIENCE_SECONDS) or _nothing():
            if not _receive(key.data):
                continue
            now = time.monotonic()
            took.append((now - key.data.began) * 1000)
            if heard is not None:
                heard(key.data.body)
            if now < end:
                _send(key.data, make())
            else:
                selector.unregister(key.data.sock)
                key.data.sock.close()
                open_ones -= 1
    return Load(len(took) / (time.monotonic() - began), sorted(took))


def once(port: int, wire: bytes) -> bytes:
    """One request on a connection of its own; the answer's body."""
    with socket.create_connection((LOOPBACK, port), timeout=PATIENCE_SECONDS) as sock:
        sock.sendall(wire)
        return answer_of(sock)


def answer_of(sock: socket.socket) -> bytes:
    """The body of the answer to what was sent on ``sock``."""
    connection = _Connection(sock)
    while not _receive(connection):
        pass
    return connection.body


def _nothing() -> Sequence[tuple[selectors.SelectorKey, int]]:
    raise TimeoutError("no answer came")


def _send(connection: _Connection, wire: bytes) -> None:
    connection.answer.clear()
    connection.wanted = -1
    connection.began = time.monotonic()
    connection.sock.sendall(wire)


def _receive(connection: _Connection) -> bool:
    """Take what has come; whether the answer is whole. An answer that is an error ends the measurement."""
    piece = connection.sock.recv(_READ_BYTES)
    if not piece:
        raise ConnectionError(f"closed after {bytes(connection.answer[:300])!r}")
    answer = connection.answer
    answer += piece
    if connection.wanted < 0:
        head = answer.find(b"\r\n\r\n")
        if head < 0:
            return False
        connection.wanted = head + 4 + _length(bytes(answer[:head]).lower())
    if len(answer) < connection.wanted:
        return False
    if not 200 <= int(answer[9:12]) < 300:
        raise RuntimeError(bytes(answer[:600]).decode(errors="replace"))
    return True


def _length(head: bytes) -> int:
    found = head.find(b"\r\ncontent-length:")
    if found < 0:
        if b" 204 " in head[:16]:
            return 0
        raise ValueError(f"an answer without a length: {head!r}")
    return int(head[found + 17 :].partition(b"\r\n")[0])
