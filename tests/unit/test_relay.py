"""The system's output on its way to whoever started it."""

from __future__ import annotations

import pytest
from eventlet import patcher

from docsave_services.runtime import relay as relay_module
from docsave_services.runtime.relay import PIECE_BYTES, Relay

os = patcher.original("os")  # the relay's process is not a green one


@pytest.fixture(autouse=True)
def _not_green(monkeypatch):
    monkeypatch.setattr(relay_module, "os", os)
    monkeypatch.setattr(relay_module, "select", patcher.original("select"))


def test_output_is_passed_on_unchanged():
    """Every byte arrives, in order; the end of the output is told."""
    source, sink = os.pipe()
    reader, target = os.pipe()
    relay = Relay(source, target)
    text = os.urandom(3 * PIECE_BYTES)
    os.write(sink, text)
    os.close(sink)
    while relay.step(1):
        pass
    assert os.read(reader, 10 * PIECE_BYTES) == text
    for fd in (source, reader, target):
        os.close(fd)


def test_reader_that_sleeps_stops_nothing_and_is_told_what_it_missed(monkeypatch):
    """A full pipe loses output instead of stopping the system; the next reader learns how much."""
    monkeypatch.setattr(relay_module, "PATIENCE_SECONDS", 0.01)
    source, sink = os.pipe()
    reader, target = os.pipe()
    relay = Relay(source, target)
    for _ in range(40):  # 160 KiB into a pipe of 64
        os.write(sink, b"x" * PIECE_BYTES)
        assert relay.step(1)
    kept = len(os.read(reader, 1 << 20))
    assert kept < 40 * PIECE_BYTES
    os.write(sink, b"awake")
    assert relay.step(1)
    assert os.read(reader, 1 << 20) == (
        f"\n({40 * PIECE_BYTES - kept} bytes of output were not read and are lost)\nawake".encode()
    )
    for fd in (source, sink, reader, target):
        os.close(fd)


def test_closed_reader_stops_nothing():
    """``make run | head`` goes on without a witness."""
    source, sink = os.pipe()
    reader, target = os.pipe()
    os.close(reader)
    os.write(sink, b"unheard")
    assert Relay(source, target).step(1)
    for fd in (source, sink, target):
        os.close(fd)
