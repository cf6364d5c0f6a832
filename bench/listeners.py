"""Thousands of Socket.IO clients in a process of their own, which keep only when they heard what."""

from __future__ import annotations

import multiprocessing
import selectors
import time
from multiprocessing.connection import Connection
from typing import Any

from tests.support.notifier import RawWebSocket

_MARK = b'42["Notify_File_create'
_UPDATE = b'42["Notify_File_update'
OPENING_MAX = 200
"""Sockets that have not yet been told that they are known."""

SECONDS_MAX = 120.0


class Listeners:
    """One websocket for each token. ``heard(count)`` are the moments (monotonic seconds) of the next ``count`` events
    that any of them heard; ``of_first`` those of the first socket alone."""

    def __init__(self, port: int, tokens: list[str], event: str = "User_connect") -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_listen, args=(port, tokens, event, theirs), daemon=True)
        self._process.start()
        self._answer()

    def expect(self, count: int) -> None:
        """Begin to count."""
        self._pipe.send(count)
        self._answer()

    def moments(self) -> tuple[list[float], list[float]]:
        """When what was expected came: of all sockets, and of the first one."""
        found: tuple[list[float], list[float]] = self._answer()
        return found

    def close(self) -> None:
        """Hang up."""
        self._process.terminate()
        self._process.join()

    def _answer(self) -> Any:
        if not self._pipe.poll(SECONDS_MAX):
            raise TimeoutError("the listeners did not hear what was expected")
        return self._pipe.recv()


def _listen(port: int, tokens: list[str], event: str, pipe: Connection) -> None:
    selector = selectors.DefaultSelector()
    opening = 0
    for number, token in enumerate(tokens):
        raw = RawWebSocket(port)
        raw.send("40")
        while not (raw.read_text() or "").startswith("40"):
            pass  # node closes a socket that speaks before it was let in
        raw.send(f'420["{event}","{token}"]')
        raw.sock.setblocking(False)
        selector.register(raw.sock, selectors.EVENT_READ, (number, raw))
        opening += 1
        while opening >= OPENING_MAX:
            opening -= _acks(selector)
    while opening:
        opening -= _acks(selector)
    pipe.send("open")
    while True:
        while not pipe.poll(0):
            _acks(selector, 0.05)
        count = pipe.recv()
        pipe.send("ready")
        pipe.send(_count(selector, count))


def _acks(selector: selectors.BaseSelector, seconds: float = 10.0) -> int:
    """Take what has come; how many were let in."""
    found = 0
    for key, _ in selector.select(seconds):
        data = _take(key.fileobj, key.data[1])
        found += data.count(b'430[{"ok":true')
        if b'"ok":false' in data:
            raise RuntimeError(data)
    return found


def _count(selector: selectors.BaseSelector, count: int) -> tuple[list[float], list[float]]:
    everybody: list[float] = []
    first: list[float] = []
    while len(everybody) < count:
        for key, _ in selector.select(SECONDS_MAX):
            number, raw = key.data
            data = _take(key.fileobj, raw)
            found = data.count(_MARK) + data.count(_UPDATE)
            moments = [time.monotonic()] * found
            everybody += moments
            if number == 0:
                first += moments
    return everybody, first


def _take(sock: Any, raw: RawWebSocket) -> bytes:
    """What has come on one socket; a ping is answered. A frame that is cut in two counts when its name is whole."""
    try:
        data: bytes = sock.recv(262144)
    except BlockingIOError:
        return b""
    if not data:
        raise ConnectionError("a socket was closed")
    if b"\x81\x012" in data:
        sock.setblocking(True)
        raw.send("3")
        sock.setblocking(False)
    return data
