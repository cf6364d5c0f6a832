"""A thousand Socket.IO clients in one thread: websockets that only identify themselves, listen and answer pings."""

from __future__ import annotations

import json
import selectors
import threading
from typing import Any

from tests.support.notifier import RawWebSocket
from tests.support.waiting import wait_until

_ACK = "430"


class ManySockets:
    """Opens one websocket for each token, says ``User_connect`` on it, and keeps what each hears."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        self.heard: list[list[dict[str, Any]]] = [[] for _ in tokens]
        self.acked = 0
        self.closed = 0
        self._buffers = [b"" for _ in tokens]
        self._sockets: list[RawWebSocket] = []
        self._selector = selectors.DefaultSelector()
        self._stopped = False
        # Before the first is open: on a busy machine it takes longer to open a thousand than a ping may go unanswered.
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        for number, token in enumerate(tokens):
            raw = RawWebSocket(port)
            raw.send("40")
            raw.send(f'420["User_connect","{token}"]')
            raw.sock.setblocking(False)
            self._sockets.append(raw)
            self._selector.register(raw.sock, selectors.EVENT_READ, number)

    def wait_identified(self, seconds: float) -> None:
        """Until every ack has come."""
        wait_until(lambda: self.acked == len(self._sockets), seconds)

    def close(self) -> None:
        """Hang up."""
        self._stopped = True
        self._thread.join()
        for raw in self._sockets:
            raw.close()
        self._selector.close()

    def _listen(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select(0.1):
                self._read(key.data)

    def _read(self, number: int) -> None:
        sock = self._sockets[number].sock
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.closed += 1
            self._selector.unregister(sock)
            return
        self._buffers[number] += data
        while (frame := _first_frame(self._buffers[number])) is not None:
            text, used = frame
            self._buffers[number] = self._buffers[number][used:]
            self._take(number, text)

    def _take(self, number: int, text: str) -> None:
        if text == "2":
            sock = self._sockets[number].sock
            sock.setblocking(True)
            self._sockets[number].send("3")
            sock.setblocking(False)
        elif text.startswith(_ACK):
            assert json.loads(text[len(_ACK) :])[0]["ok"] is True, text
            self.acked += 1
        elif text.startswith("42"):
            self.heard[number].append(json.loads(text[2:])[1])


def _first_frame(data: bytes) -> tuple[str, int] | None:
    """The first whole frame's text and its length with the header; a server's frames are not masked."""
    if len(data) < 2:
        return None
    size, start = data[1] & 127, 2
    if size == 126:
        size, start = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(data[2:10], "big"), 10
    if len(data) < start + size:
        return None
    return data[start : start + size].decode(errors="replace"), start + size
