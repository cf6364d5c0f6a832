"""Waiting for the backup: what is asked for, who is woken, and that nobody waits for ever."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import eventlet
import pytest
from eventlet.green import socket as green_socket

from docsave_services.errors import Unavailable
from gateway_http import protection
from gateway_http.prefer import preferred_wait
from gateway_http.protection import ProtectionRoom
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=10", 10),
        ("Wait = 10", 10),
        ('respond-async, wait="7"; x=1', 7),
        ('foo="a, wait=3", wait=4', 4),
        ("wait=5, wait=9", 5),
        ("wait=100000", 30),
        ("wait", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait=\u0661", 0),
        ("wait=0", 0),
        ("waits=3", 0),
        (",;=,", 0),
        ("wait=5" + " " * 2000, 0),
    ],
)
def test_a_preference_is_read_and_never_an_error(header: str | None, seconds: int) -> None:
    """The first ``wait`` counts, capped; anything else is as if nothing was said."""
    assert preferred_wait(header) == seconds


class Files:
    """Answers ``get_many`` with what is safe."""

    def __init__(self) -> None:
        self.safe: dict[int, int] = {}
        self.calls = 0
        self.away = False

    def __call__(self, method: str, file_ids: list[int]) -> list[Any]:
        assert method == "get_many"
        self.calls += 1
        if self.away:
            raise Unavailable
        return [{"id": n, "backup": {"version": self.safe[n]}} if n in self.safe else None for n in file_ids]


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def room(files: Files, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProtectionRoom]:
    monkeypatch.setattr(protection, "LOOK_SECONDS", 0.02)
    room = ProtectionRoom(files)  # type: ignore[arg-type] # what of it is called
    thread = eventlet.spawn(room.run)
    yield room
    room.close()
    thread.kill()
    assert len(room) == 0


@pytest.fixture
def connect() -> Iterator[Callable[[], Any]]:
    """Gives the server's end of a new connection; ``peer`` is the client's."""
    opened: list[Any] = []

    def _connect() -> Any:
        ours, theirs = green_socket.socketpair(socket.AF_UNIX)
        ours.peer = theirs
        opened.extend((ours, theirs))
        return ours

    yield _connect
    for end in opened:
        end.close()


@pytest.fixture
def connection(connect: Callable[[], Any]) -> Any:
    return connect()


def wait_in(room: ProtectionRoom, connection: Any, version: int = 2, seconds: float = 5) -> Any:
    thread = eventlet.spawn(room.wait, 7, version, 1, seconds, connection)
    wait_until(lambda: len(room) == 1)
    return thread


def test_a_hint_wakes_who_waits_for_that_version(room: ProtectionRoom, connection: Any, monkeypatch: Any) -> None:
    """Not an older version's, nor another file's; nobody is asked."""
    monkeypatch.setattr(protection, "LOOK_SECONDS", 60)
    thread = wait_in(room, connection)
    room.learn(8, 2)
    room.learn(7, 1)
    eventlet.sleep(0)
    assert len(room) == 1
    room.learn(7, 3)
    with eventlet.Timeout(1):
        assert thread.wait() is True
    assert room.wait(7, 3, 1, 5, connection) is True  # heard before it waited
    monkeypatch.undo()


def test_a_lost_hint_costs_a_look_for_all_who_wait(
    files: Files, room: ProtectionRoom, connect: Callable[[], Any]
) -> None:
    """One call for all of them, also after the service was away; none while nobody waits."""
    files.away = True
    threads = [eventlet.spawn(room.wait, n, 1, n, 5, connect()) for n in range(1, 21)]
    wait_until(lambda: files.calls >= 2)
    files.safe = dict.fromkeys(range(1, 21), 1)
    files.away = False
    with eventlet.Timeout(2):
        assert all(thread.wait() for thread in threads)
    wait_until(lambda: len(room) == 0)
    eventlet.sleep(0.05)
    calls = files.calls
    eventlet.sleep(0.1)
    assert files.calls == calls


def test_nobody_waits_longer_than_they_said(room: ProtectionRoom, connection: Any) -> None:
    assert room.wait(7, 1, 1, 0.05, connection) is False


@pytest.mark.parametrize("end", ["the client goes", "the process stops"])
def test_who_cannot_be_answered_does_not_wait(room: ProtectionRoom, connection: Any, end: str) -> None:
    """A closed connection is noticed; a stop lets all go, and nobody in."""
    thread = wait_in(room, connection)
    if end == "the client goes":
        connection.peer.close()
    else:
        room.close()
        assert not room.has_room(1)
    with eventlet.Timeout(1):
        assert thread.wait() is False


def test_the_room_is_bounded(room: ProtectionRoom, connect: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """For one user and for all; who finds no room is answered at once."""
    monkeypatch.setattr(protection, "PROTECTION_WAITERS_OF_USER_MAX", 1)
    monkeypatch.setattr(protection, "PROTECTION_WAITERS_MAX", 2)
    wait_in(room, connect())
    assert (room.has_room(1), room.has_room(2)) == (False, True)
    eventlet.spawn(room.wait, 8, 1, 2, 5, connect())
    wait_until(lambda: len(room) == 2)
    assert not room.has_room(3)
    room.learn(7, 2)
    room.learn(8, 1)
    wait_until(lambda: len(room) == 0)
    monkeypatch.setattr(protection, "RECENT_EVENTS", 1)
    room.learn(9, 1)
    assert len(room._safe) == 1
