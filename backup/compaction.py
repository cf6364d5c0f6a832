"""Compaction and retention in the background of the process that writes: all files, one after the other, for ever.

One thread for both: each changes how the versions of a file lie, and counts on nobody else doing so.

It runs in a thread of the operating system with the lowest priority, and rests as long as it worked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eventlet
from eventlet import patcher

from backup.catalogue import file_directories
from backup.compact import FileCompaction, Tally, age_limit
from backup.errors import Cancelled, DirectoryGone, describe
from backup.retention import CLOCK_DOUBTED, Retention
from backup.retention import OFF as RETENTION_OFF
from docsave_services.contracts import FILE_DELETE, FileEvent
from docsave_services.log import get_logger
from docsave_services.times import now, to_text

_log = get_logger(__name__)

_threading: Any = patcher.original("threading")
_time: Any = patcher.original("time")

ROUND_SECONDS = 6 * 3600.0
"""From the end of one round to the next; without one, only files that have just changed are compacted."""

RETRY_SECONDS = 60.0
"""After a round that failed: the disk may be full."""

REST_FACTOR = 1.0
"""Rest for each second of work."""

REST_SECONDS_MAX = 30.0
REST_SECONDS_MIN = 0.002
"""A look at a file that needs nothing also takes the disk's time."""

CHANGED_MAX = 10_000
"""Files remembered because they changed; more are found by the next round."""

LOOK_SECONDS = 0.5
LOWEST_PRIORITY = 19

OFF = "off"
WAITING = "waiting"
WORKING = "working"


class Compaction:
    """Compacts versions that are ``days`` old; None: never. Applies ``retention`` to each file first. ``check`` raises
    when the directory may not be written."""

    def __init__(self, root: Path, days: int | None, check: Callable[[], None], retention: Retention) -> None:
        self._root = root
        self._days = days
        self._check = check
        self.retention = retention
        self._asked = 0
        self._trusted = False
        self._stopping = False
        self._pausing = 0
        self._changed: dict[tuple[int, int], None] = {}
        self._began = 0.0
        self.state = OFF if self._is_idle else WAITING
        self.tally = Tally()
        self.finished_at: str | None = None
        self.error: str | None = None

    def run(self) -> None:
        """Work until ``stop``. ``DirectoryGone`` ends it. For a green thread."""
        if self._is_idle:
            return
        outcome: list[BaseException | None] = []
        thread = _threading.Thread(target=self._work, args=(outcome,), name="compaction", daemon=True)
        thread.start()
        while not outcome:
            eventlet.sleep(LOOK_SECONDS)
        thread.join()
        if outcome[0] is not None:
            raise outcome[0]

    def stop(self) -> None:
        """Let ``run`` return after the step in progress, which is given up."""
        self._stopping = True

    @property
    def _is_idle(self) -> bool:
        return self._days is None and self.retention.state == RETENTION_OFF

    def ask_round(self, trust_clock: bool) -> None:
        """Have a round made soon; with ``trust_clock`` although retention doubts the clock."""
        self._asked += 1
        self._trusted = self._trusted or trust_clock

    def hint(self, event: FileEvent) -> None:
        """A version is safe: those before it may be due at once."""
        if self._days == 0 and event["type"] != FILE_DELETE and event["version"] > 1:
            self._remember(event["user_id"], event["id"])

    def _remember(self, user_id: int, file_id: int) -> None:
        if len(self._changed) < CHANGED_MAX:
            self._changed[user_id, file_id] = None

    def status(self) -> dict[str, Any]:
        """What it has done since this process became active."""
        tally = self.tally
        return {
            "state": self.state,
            "after_days": self._days,
            "compacted": tally.compacted,
            "saved_bytes": tally.saved_bytes,
            "incompressible": tally.incompressible,
            "unreadable": tally.unreadable,
            "finished_at": self.finished_at,
            "error": self.error,
        }

    def _work(self, outcome: list[BaseException | None]) -> None:
        try:
            if hasattr(os, "PRIO_PROCESS"):  # of this thread alone, on Linux
                os.setpriority(os.PRIO_PROCESS, _threading.get_native_id(), LOWEST_PRIORITY)
            while not self._stopping:
                self._wait(RETRY_SECONDS if self._round() else ROUND_SECONDS)
        except Cancelled:
            outcome.append(None)
        except BaseException as exc:
            outcome.append(exc)
        else:
            outcome.append(None)

    def _round(self) -> str | None:
        """Look at every file once; what went wrong."""
        self.state = WORKING
        failed = self._begin_retention()
        for directory in self._directories():
            failed = self._tend(directory, retain=True) or failed
            if self._stopping:
                break
        self.state, self.error = WAITING, failed
        self.finished_at = to_text(now())
        return failed

    def _begin_retention(self) -> str | None:
        asked, self._asked = self._asked > 0, 0
        trusted, self._trusted = self._trusted, False
        try:
            self._check()
            if not self.retention.begin(asked, trusted) and self.retention.state == CLOCK_DOUBTED:
                _log.error("retention_clock_doubted")
        except OSError as exc:
            return describe(exc)
        return None

    def _directories(self) -> Iterator[Path]:
        self._began = _time.monotonic()
        for _, directory in file_directories(self._root):
            yield directory

    def _tend(self, directory: Path, retain: bool) -> str | None:
        try:
            self._check()
            if retain:
                self.retention.apply(directory, self._is_stopping, self._rest)
            if self._days is not None:
                before = age_limit(self._days)
                FileCompaction(self._root, directory, before, self.tally, self._is_stopping, self._rest).run()
        except (Cancelled, DirectoryGone):
            raise
        except Exception as exc:
            _log.warning("upkeep_failed", directory=str(directory.relative_to(self._root)), error=describe(exc))
            self._rest()
            return describe(exc)
        self._rest()
        return None

    def _wait(self, seconds: float) -> None:
        end = _time.monotonic() + seconds
        while not self._stopping and not self._asked and _time.monotonic() < end:
            if self._changed:
                (user_id, file_id), _ = self._changed.popitem()
                self._began = _time.monotonic()
                self.state = WORKING
                self._tend(self._root / "history" / str(user_id) / str(file_id), retain=False)
                self.state = WAITING
            else:
                _time.sleep(LOOK_SECONDS)

    def _rest(self) -> None:
        worked = _time.monotonic() - self._began
        self._sleep(min(max(worked * REST_FACTOR, REST_SECONDS_MIN), REST_SECONDS_MAX))
        self._began = _time.monotonic()

    def _sleep(self, seconds: float) -> None:
        end = _time.monotonic() + seconds
        while not self._stopping and (left := end - _time.monotonic()) > 0:
            _time.sleep(min(left, LOOK_SECONDS))

    def _is_stopping(self) -> bool:
        return self._stopping
