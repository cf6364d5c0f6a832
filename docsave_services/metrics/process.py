"""What the process itself is like: memory, descriptors, which release, how late its event loop wakes."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator

import eventlet
from prometheus_client import Histogram, ProcessCollector

from docsave_services import __version__
from docsave_services.metrics.registry import REGISTRY, Gauge, Reading, Readings

TICK_SECONDS = 0.5

LOOP_DELAY = Histogram(
    "docsave_event_loop_delay_seconds",
    f"How much later than asked for a green thread woke, looked at every {TICK_SECONDS} s.",
    registry=REGISTRY,
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
_BUILD = Gauge("docsave_build_info", "1; the labels say which release runs.", ("version", "python"))


def _build() -> Iterator[Reading]:
    yield Reading(_BUILD, 1, (__version__, platform.python_version()))


def describe_process() -> None:
    """Add memory, processor time, descriptors and the release to the metrics; once a process."""
    ProcessCollector(registry=REGISTRY)
    REGISTRY.register(Readings(_build))


def watch_loop() -> None:
    """Measure for ever how late the event loop is."""
    while True:
        due = time.monotonic() + TICK_SECONDS
        eventlet.sleep(TICK_SECONDS)
        LOOP_DELAY.observe(max(time.monotonic() - due, 0.0))
