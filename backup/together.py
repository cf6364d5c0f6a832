"""Green threads that end together: when one of them fails, or when somebody says that it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eventlet
from eventlet.event import Event


class Together:
    """Spawn the threads, then ``wait``; whoever waits also sees to it that they stop."""

    def __init__(self) -> None:
        self._end = Event()

    def spawn(self, work: Callable[[], None]) -> Any:
        """Run ``work`` in a thread; what it raises ends the waiting."""

        def guarded() -> None:
            try:
                work()
            except Exception as exc:
                if not self._end.ready():
                    self._end.send_exception(exc)

        return eventlet.spawn(guarded)

    def wait(self) -> None:
        """Until ``end``. Raises what made a thread fail."""
        self._end.wait()

    def end(self) -> None:
        """Let ``wait`` return. Harmless when repeated."""
        if not self._end.ready():
            self._end.send()
