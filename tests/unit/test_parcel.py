"""Packets for many sockets: one write for all of them where nothing waits, and in their order everywhere."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import eventlet
import eventlet.queue
import pytest
from engineio.packet import MESSAGE, Packet
from eventlet.greenio import GreenSocket
from eventlet.websocket import RFC6455WebSocket

from notifier_bridge.parcel import Parcel
from notifier_bridge.strict_websocket import StrictWebSocket
from tests.unit.test_strict_websocket import received

Opened = Callable[[], tuple[Any, GreenSocket]]


class Counted(Packet):
    """A packet that knows how often it was packed."""

    packed = 0

    def encode(self, b64: bool = False) -> Any:
        self.packed += 1
        return super().encode(b64)


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Makes an Engine.IO socket whose writer waits, and what its client reads from."""
    ends: list[GreenSocket] = []

    def open_one() -> tuple[Any, GreenSocket]:
        ours, theirs = (GreenSocket(each) for each in socket.socketpair())
        ends.extend((ours, theirs))
        wire = StrictWebSocket(RFC6455WebSocket(ours, {}, version=13))
        engine = SimpleNamespace(queue=eventlet.queue.Queue(), wire=wire, upgraded=True, upgrading=False)
        eventlet.spawn(write, engine)
        eventlet.sleep(0)
        return engine, theirs

    yield open_one
    for each in ends:
        each.close()


def write(engine: Any) -> None:
    """What Engine.IO's writer does."""
    while True:
        engine.wire.send(engine.queue.get().encode())


def messages(*texts: str) -> list[Counted]:
    return [Counted(MESSAGE, text) for text in texts]


def frames(engine: Any, packets: list[Counted]) -> bytes:
    return b"".join(engine.wire.frame_of(f"4{packet.data}") for packet in packets)


def test_what_comes_together_leaves_in_one_write(opened: Opened) -> None:
    """And nothing is left for the writer."""
    engine, client = opened()
    packets = messages("one", "two", "three")
    expected = frames(engine, packets)
    assert not Parcel(packets).left_after_writing(engine)
    assert client.recv(65536) == expected


def test_it_is_packed_once_for_all_sockets(opened: Opened) -> None:
    """However many there are."""
    packets = messages("one", "two")
    parcel = Parcel(packets)
    for engine, client in (opened(), opened(), opened()):
        assert not parcel.left_after_writing(engine)
        assert client.recv(65536) == frames(engine, packets)
    assert [packet.packed for packet in packets] == [1, 1]


def test_a_slow_reader_gets_it_whole_and_before_what_follows(opened: Opened) -> None:
    """The system takes a part, in the middle of a packet; the writer goes on there."""
    engine, client = opened()
    first, second = messages(*(letter * 300_000 for letter in "abcd")), messages("after")
    (rest,) = Parcel(first).left_after_writing(engine)
    engine.queue.put(rest)
    assert Parcel(second).left_after_writing(engine) == second
    engine.queue.put(second[0])
    expected = frames(engine, first + second)
    assert received(client, len(expected)) == expected


@pytest.mark.parametrize(
    "state",
    [{"upgraded": False}, {"upgrading": True}],
    ids=["polls", "changes to a websocket"],
)
def test_a_socket_that_is_no_websocket_yet_queues_all(opened: Opened, state: dict[str, bool]) -> None:
    """Its client fetches them."""
    engine, _ = opened()
    vars(engine).update(state)
    packets = messages("one", "two")
    assert Parcel(packets).left_after_writing(engine) == packets
    assert [packet.packed for packet in packets] == [0, 0]


def test_a_writer_that_is_busy_queues_all(opened: Opened) -> None:
    """Its queue is empty then, but something is on its way."""
    engine, client = opened()
    long = messages("x" * 2_000_000)
    engine.queue.put(long[0])
    eventlet.sleep(0)
    assert engine.queue.empty()
    packets = messages("after")
    assert Parcel(packets).left_after_writing(engine) == packets
    assert received(client, len(frames(engine, long))) == frames(engine, long)


def test_a_connection_that_is_gone_is_no_error(opened: Opened) -> None:
    """Others get theirs; there is nothing to keep."""
    engine, client = opened()
    client.close()
    assert not Parcel(messages("one")).left_after_writing(engine)
