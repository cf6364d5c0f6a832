"""A frame that is written without waiting: whole, in part or not at all, it arrives whole and in its place."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import eventlet
import pytest
from eventlet.greenio import GreenSocket
from eventlet.websocket import RFC6455WebSocket

from notifier_bridge.strict_websocket import StrictWebSocket


@pytest.fixture
def ends() -> Iterator[tuple[StrictWebSocket, GreenSocket]]:
    """A websocket, and what the client reads from."""
    ours, theirs = (GreenSocket(each) for each in socket.socketpair())
    yield StrictWebSocket(RFC6455WebSocket(ours, {}, version=13)), theirs
    ours.close()
    theirs.close()


def received(sock: GreenSocket, size: int) -> bytes:
    data = b""
    with eventlet.Timeout(10):
        while len(data) < size:
            data += sock.recv(min(65536, size - len(data)))
    return data


def test_a_small_frame_goes_at_once(ends: tuple[StrictWebSocket, GreenSocket]) -> None:
    """And is what the library would have sent."""
    wire, client = ends
    frame = wire.frame_of('42["hello"]')
    assert not wire.send_now(frame)
    assert received(client, len(frame)) == frame
    wire.send('42["hello"]')
    assert received(client, len(frame)) == frame


def test_what_the_system_does_not_take_is_left(ends: tuple[StrictWebSocket, GreenSocket]) -> None:
    """The rest goes out as it is, not packed once more; then nothing more is taken until somebody reads."""
    wire, client = ends
    frame = wire.frame_of("x" * 2_000_000)
    rest = wire.send_now(frame)
    assert 0 < len(rest) < len(frame)
    assert wire.send_now(frame) == frame
    writer = eventlet.spawn(wire.send, rest)
    assert received(client, len(frame)) == frame
    writer.wait()


def test_nothing_goes_between_the_pieces_of_what_another_sends(ends: tuple[StrictWebSocket, GreenSocket]) -> None:
    """A pong of the reader, for instance, that waits for room in the middle."""
    wire, client = ends
    long, short = wire.frame_of("x" * 2_000_000), wire.frame_of("short")
    writer = eventlet.spawn(wire.send, memoryview(long))
    eventlet.sleep(0)
    first = client.recv(65536 * 8)  # there is room, and the writer does not know it yet
    assert wire.send_now(short) == short
    assert first + received(client, len(long) - len(first)) == long
    writer.wait()
    assert not wire.send_now(short)
