"""Clients that are slow, silent, many or broken: they must cost nobody else anything."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import statistics
import threading
import time
from urllib.parse import urlsplit

import eventlet
import requests

from tests.faults.attack import Attack
from tests.faults.catalogue.fault import Fault, Place
from tests.support.notifier import RawWebSocket

LOOKS = 30
OTHERS_SECONDS = 1.0
"""Within this most requests of others are answered meanwhile."""


class Crowd(Fault):
    """Many connections that say nothing, or a letter a second."""

    hold_seconds = 8.0

    def __init__(self, name: str, count: int, drip: bool) -> None:
        super().__init__(name)
        self._count = count
        self._drip = drip
        self._sockets: list[socket.socket] = []
        self._stop = threading.Event()

    def inject(self, place: Place) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._stop.clear()
        system = place.target.system
        for number in range(self._count):
            where = urlsplit(system.base_url if number % 2 else system.socket_url)
            with contextlib.suppress(OSError):  # turned away, which is as good
                self._sockets.append(socket.create_connection((where.hostname or "", where.port or 0), 5))
        if self._drip:
            threading.Thread(target=self._drop_by_drop, daemon=True).start()

    def look(self, place: Place, attack: Attack) -> list[str]:
        return slow_answers(attack, self.name)

    def heal(self, place: Place) -> None:
        self._stop.set()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.close()
        self._sockets.clear()

    def _drop_by_drop(self) -> None:
        text = b"GET /files HTTP/1.1\r\nHost: a\r\n" + b"X-Slow: " + b"a" * 1000
        for letter in text:
            for each in list(self._sockets):
                with contextlib.suppress(OSError):
                    each.send(bytes([letter]))
            if self._stop.wait(0.5):
                return


class Stalled(Fault):
    """Twenty of Ann's sockets identify themselves and read nothing any more."""

    times = 2
    hold_seconds = 5.0

    def __init__(self) -> None:
        super().__init__("stalled-listeners")
        self._sockets: list[RawWebSocket] = []

    def inject(self, place: Place) -> None:
        """Done in ``look``, which knows Ann's token."""

    def look(self, place: Place, attack: Attack) -> list[str]:
        port = urlsplit(place.target.system.socket_url).port or 0
        for _ in range(20):
            raw = RawWebSocket(port, receive_buffer=4096)
            raw.send("40")
            raw.send(f'421["User_connect",{{"token":"{attack.people[0].token}","since":0}}]')
            self._sockets.append(raw)
        return slow_answers(attack, self.name)

    def heal(self, place: Place) -> None:
        for raw in self._sockets:
            raw.close()
        self._sockets.clear()


class BrokenUploads(Fault):
    """Uploads that end in the middle, by FIN, by RST or in silence, and one that is announced far too large."""

    def __init__(self) -> None:
        super().__init__("broken-uploads")
        self._open: list[socket.socket] = []

    def inject(self, place: Place) -> None:
        """Done in ``look``, which knows the people."""

    def look(self, place: Place, attack: Attack) -> list[str]:
        where = urlsplit(place.target.system.base_url)
        person = attack.people[0]
        address = (where.hostname or "", where.port or 0)
        for number in range(60):
            head = (
                f"POST /files?name=torso HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {person.token}\r\n"
                f"Content-Type: application/octet-stream\r\nContent-Length: {10**6 if number else 6 * 2**30}\r\n\r\n"
            )
            connection = socket.create_connection(address, 20)
            self._open.append(connection)
            with contextlib.suppress(OSError):
                connection.sendall(head.encode() + os.urandom(attack.rng.randrange(900_000)))
                if number % 3 == 0:
                    connection.shutdown(socket.SHUT_WR)
                elif number % 3 == 1:
                    connection.close()
        return slow_answers(attack, self.name)

    def heal(self, place: Place) -> None:
        for each in self._open:
            each.close()
        self._open.clear()


def slow_answers(attack: Attack, what: str) -> list[str]:
    """Whether others have to wait meanwhile."""
    person, took = attack.people[-1], []
    with requests.Session() as session:
        for _ in range(LOOKS):
            begun = time.monotonic()
            try:
                session.get(f"{person.base_url}/files", params={"limit": 1}, headers=person.headers, timeout=20)
            except requests.RequestException as exc:
                return [f"beside {what} a request fails: {exc!r}"]
            took.append(time.monotonic() - begun)
            eventlet.sleep(0.1)
    median = statistics.median(took)
    return [f"beside {what} an answer takes {median:.2f} s"] if median > OTHERS_SECONDS else []


FAULTS: list[Fault] = [
    Crowd("idle-sockets-2000", 2000, drip=False),
    Crowd("slowloris-500", 500, drip=True),
    Stalled(),
    BrokenUploads(),
]
