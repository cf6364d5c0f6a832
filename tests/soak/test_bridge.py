"""The bridge for longer: a reader that stalls while twenty thousand events flow, and what others notice of it."""
# ruff: noqa: F401, F811 - fixtures shared with the bridge's other tests

from __future__ import annotations

import statistics
import time

import pytest

from tests.integration.test_notifier import accounts, bridge, journal
from tests.support.notifier import Bridge, Journal, RawWebSocket, Recorder, token
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

EVENTS = 20_000
IN_A_ROW = 500
ROUNDS = 5
STALLED_BYTES = 40_000_000
"""What the bridge may hold for a reader that reads nothing: its queue of 1,000 packets, and what waits in the feed."""


def _latencies(journal: Journal, listener: Recorder, count: int) -> list[float]:
    """Milliseconds from telling the bus of a change to hearing of it, one after the other."""
    took = []
    for _ in range(count):
        before = len(listener.heard)
        started = time.perf_counter()
        journal.add(2)
        wait_until(lambda b=before: len(listener.heard) > b, 10, interval=0.0005)
        took.append((time.perf_counter() - started) * 1000)
    return took


def _stalled(port: int) -> RawWebSocket:
    """A socket of user 1 that stops reading after its ack."""
    raw = RawWebSocket(port, receive_buffer=4096)
    raw.send("40")
    raw.send(f'421["User_connect","{token(1)}"]')
    while not (raw.read_text() or "").startswith("431"):
        pass
    return raw


def test_a_stalled_reader_costs_others_nothing(journal: Journal, bridge: Bridge) -> None:
    """20,000 events for a reader who reads none of them: memory stays bounded, a diligent socket of the same user
    hears all in order, and another user's changes arrive as fast as before."""
    other = Recorder(bridge.url, ["websocket"])
    diligent = Recorder(bridge.url, ["websocket"])
    assert other.call("User_connect", token(2))["ok"]
    assert diligent.call("User_connect", token(1))["ok"]
    _latencies(journal, other, 20)
    alone: list[float] = []
    beside: list[float] = []
    memory = bridge.memory_bytes()
    wanted: list[int] = []
    for _ in range(ROUNDS):
        alone += _latencies(journal, other, 40)
        stalled = _stalled(bridge.port)
        for _ in range(EVENTS // ROUNDS // IN_A_ROW):
            events = [journal.add(1, told=False, name="n" * 200) for _ in range(IN_A_ROW)]
            journal.tell(events[-1])
            wanted.extend(event["event_id"] for event in events)
            wait_until(lambda: len(diligent.heard) >= len(wanted), 60)
            beside += _latencies(journal, other, 8)
        assert bridge.memory_bytes() - memory < STALLED_BYTES
        stalled.close()
    assert diligent.ids == wanted
    assert not other.closed
    ratio = statistics.median(beside) / statistics.median(alone)
    print(f"others' latency beside a stalled reader: {ratio:.2f} of that alone ({statistics.median(alone):.1f} ms)")
    assert ratio < 1.5
    other.close()
    diligent.close()
