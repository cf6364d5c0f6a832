"""A receiver of webhooks that a test can bend: what it got, and what it answers."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import eventlet

Answer = Callable[[Any], None]
"""Gets the connection after the request has been read, and answers on it."""


@dataclass
class Got:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """What its body says."""
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def message(self) -> str:
        """Its ``webhook-id``."""
        return self.headers["webhook-id"]


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """An ordinary answer; ``retry_after="3"`` is the field Retry-After."""

    def answer(sock: Any) -> None:
        lines = [f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return answer


OK = status(200)


@dataclass
class Receiver:
    """Listens on ``host``. ``answers`` are given in turn, then ``default``."""

    host: str = "127.0.0.1"
    got: list[Got] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    default: Answer = OK
    port: int = 0
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0
    _listener: Any = None
    _threads: list[Any] = field(default_factory=list)
    _sockets: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}/hook"

    @property
    def events(self) -> list[int]:
        """The event ids that it got, as they came."""
        return [got.event["event_id"] for got in self.got]

    def start(self, wrap: Callable[[Any], Any] = lambda sock: sock) -> None:
        """Listen, on the port of the last time if there was one. ``wrap`` may add TLS to a connection."""
        self._listener = eventlet.listen((self.host, self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        self._threads = [eventlet.spawn(self._accept, wrap)]

    def stop(self) -> None:
        """Close everything, as a process that ends does."""
        for thread in self._threads:
            thread.kill()
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # a file that was made of it would keep it open
            sock.close()
        self._sockets.clear()

    def _accept(self, wrap: Callable[[Any], Any]) -> None:
        while True:
            sock, _ = self._listener.accept()
            self.connections += 1
            self._sockets.append(sock)
            self._threads.append(eventlet.spawn(self._serve, sock, wrap))

    def _serve(self, plain: Any, wrap: Callable[[Any], Any]) -> None:
        try:
            sock = wrap(plain)
            stream = sock.makefile("rb")
            while (request := _read_request(stream)) is not None:
                self.got.append(request)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    (self.answers.pop(0) if self.answers else self.default)(sock)
                finally:
                    self.at_once -= 1
            sock.close()
        except OSError:
            pass  # the other side went away, which some tests want


@contextlib.contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver(host)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def _read_request(stream: Any) -> Got | None:
    first = stream.readline()
    if not first:
        return None
    headers = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Got(first.split(b" ")[1].decode(), headers, body)
