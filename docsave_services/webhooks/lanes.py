"""How many deliveries go on at once, so that endpoints in trouble never take the places of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eventlet.semaphore import Semaphore

from docsave_services.webhooks.limits import HEALTHY_AT_ONCE, TROUBLED_AT_ONCE


class Lanes:
    """Places for deliveries. One place is for one delivery, and they are given in the order of asking: who has many
    events waits as long for each as who has one."""

    def __init__(self, healthy: int = HEALTHY_AT_ONCE, troubled: int = TROUBLED_AT_ONCE) -> None:
        self._healthy = Semaphore(healthy)
        self._troubled = Semaphore(troubled)

    @contextmanager
    def place(self, troubled: bool) -> Iterator[None]:
        """Wait for a place and hold it."""
        with self._troubled if troubled else self._healthy:
            yield
