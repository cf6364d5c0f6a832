"""Values that cost a question: asked by a green thread every few seconds, never by a scrape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import eventlet

from docsave_services.errors import DocsaveError
from docsave_services.log import get_logger
from docsave_services.metrics.registry import REGISTRY, Gauge, Reading, Readings

_log = get_logger(__name__)

EVERY_SECONDS = 5.0

READ_AT = Gauge(
    "docsave_watch_timestamp_seconds",
    "When values that cost a question were last read; behind, it is their age.",
    ("watch",),
)


class Watch:
    """Publishes what ``read`` returns, every ``seconds``. While it fails the last values stay, and their age shows."""

    def __init__(self, name: str, read: Callable[[], Iterable[Reading]], seconds: float = EVERY_SECONDS) -> None:
        self._name = name
        self._read = read
        self._seconds = seconds
        self._readings = Readings()

    def run(self) -> None:
        """Read for ever."""
        REGISTRY.register(self._readings)
        while True:
            self._look()
            eventlet.sleep(self._seconds)

    def _look(self) -> None:
        try:
            readings = list(self._read())
        except (DocsaveError, OSError) as exc:
            _log.info("metrics_not_read", watch=self._name, error=str(exc))
        except Exception:
            _log.exception("metrics_watch_failed", watch=self._name)
        else:
            self._readings.publish([*readings, Reading(READ_AT, time.time(), (self._name,))])


def start_watch(container: Any, watch: Watch) -> None:
    """Run ``watch`` for as long as the container."""
    container.spawn_managed_thread(watch.run, identifier="metrics_watch")
