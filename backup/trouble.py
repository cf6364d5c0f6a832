"""A backup disk that takes nothing: noticed by the copies that fail, and tried by one of them at a time."""

from __future__ import annotations

import errno
import time

from eventlet.event import Event
from eventlet.semaphore import Semaphore

DISK_FULL = "disk_full"
READ_ONLY_DISK = "read_only"

_STATES = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: DISK_FULL,
    errno.EFBIG: DISK_FULL,
    errno.EROFS: READ_ONLY_DISK,
}
"""Only writing gives these, and only the backup directory is written to."""

_REASONS = {DISK_FULL: "the backup disk is full", READ_ONLY_DISK: "the backup disk is read-only"}

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
"""Room is made in minutes, not in seconds; and what is repaired must work again within half a minute."""


def trouble_of(error: BaseException) -> str | None:
    """The state of a disk that gives this error to those who write; None when it says nothing of the disk."""
    return _STATES.get(error.errno or 0) if isinstance(error, OSError) else None


def reason_of(state: str) -> str:
    """What an operator has to do something about."""
    return _REASONS[state]


class Trouble:
    """Whether the disk takes anything. Thousands of copies wait here for one that tries."""

    def __init__(self) -> None:
        self.state: str | None = None
        self._pause = 0.0
        self._grown_at = 0.0
        self._turn = Semaphore(1)
        self._end = Event()

    @property
    def reason(self) -> str | None:
        """What an operator has to do something about."""
        return reason_of(self.state) if self.state else None

    def note(self, error: BaseException) -> bool:
        """Take note of an error; whether the disk is to blame."""
        state = trouble_of(error)
        if state is None:
            return False
        now = time.monotonic()
        if self.state is None or now - self._grown_at >= self._pause:  # copies that fail together count once
            self._pause = min(self._pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
            self._grown_at = now
        self.state = state
        return True

    def over(self) -> None:
        """Something was written."""
        self.state, self._pause = None, 0.0

    def wait(self) -> None:
        """Return when the disk may be tried: at once while there is no trouble, else one caller after each pause."""
        while self.state and not self._end.ready():
            with self._turn:
                if self.state:
                    self._end.wait(timeout=self._pause)
                    return

    def stop(self) -> None:
        """Let everybody go who waits, now and from now on."""
        if not self._end.ready():
            self._end.send()
