"""How fast one socket may send: some messages at once, then so many a second (a token bucket)."""

from __future__ import annotations

import time
from collections.abc import Callable

from notifier_bridge.limits import MESSAGES_AT_ONCE_MAX, MESSAGES_EXCESS_MAX, MESSAGES_PER_SECOND


class Pace:
    """``take`` for each message. ``over`` says that the last one came too fast, ``hopeless`` that it never ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = float(MESSAGES_AT_ONCE_MAX)
        self._last = clock()
        self._excess = 0
        self.over = False

    @property
    def hopeless(self) -> bool:
        """Whether so many came too fast, without a pause, that the socket is better closed."""
        return self._excess > MESSAGES_EXCESS_MAX

    def take(self) -> None:
        """One more message has come."""
        now = self._clock()
        self._left = min(MESSAGES_AT_ONCE_MAX, self._left + (now - self._last) * MESSAGES_PER_SECOND)
        self._last = now
        self.over = self._left < 1
        self._left -= 0 if self.over else 1
        self._excess = self._excess + 1 if self.over else max(0, self._excess - 1)
