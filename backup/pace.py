"""Reading no faster than others can bear. Blocking: for threads of the operating system."""

from __future__ import annotations

from eventlet import patcher

_time = patcher.original("time")

BACKGROUND_BYTES_PER_SECOND = 20_000_000
"""What a pass by schedule reads at most: a fifth of what one hard disk gives, which leaves copies and downloads their
share. All bytes of 50 TB are read in 30 days at this pace."""


class Pace:
    """Holds up whoever reports bytes so that they come at most at ``bytes_per_second``; None: at full speed."""

    def __init__(self, bytes_per_second: int | None = None) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0

    def took(self, count: int) -> None:
        """Take note of ``count`` bytes; returns when the next may be read."""
        if self._rate is None:
            return
        now = _time.monotonic()
        self._free_at = max(self._free_at, now) + count / self._rate
        _time.sleep(self._free_at - now)
