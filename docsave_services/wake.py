"""A bell between green threads: rung while nobody waits, it is heard by the next who does."""

from __future__ import annotations

import eventlet
from eventlet.event import Event


class Wake:
    """One waits, any number ring; rings that come together are one."""

    def __init__(self) -> None:
        self._event = Event()

    def ring(self) -> None:
        """Wake the waiter, now or when it comes."""
        if not self._event.ready():
            self._event.send()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for a ring, at most ``seconds``; whether it rang."""
        with eventlet.Timeout(seconds, False):
            self._event.wait()
        rang = bool(self._event.ready())
        if rang:
            self._event = Event()
        return rang
