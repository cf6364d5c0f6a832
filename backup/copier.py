"""Several copies at a time; a failing one waits its turn without holding up the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypedDict

import eventlet
from eventlet.queue import LightQueue
from eventlet.semaphore import Semaphore

from backup.errors import Cancelled, DirectoryGone, describe
from backup.history import Written
from backup.trouble import LONGEST_PAUSE_SECONDS as DISK_PAUSE_SECONDS
from backup.trouble import Trouble
from docsave_services.contracts import FileEvent
from docsave_services.log import get_logger

_log = get_logger(__name__)

COPIES_AT_ONCE = 4
"""More only wait for the same disk."""

WAITING_MAX = 10_000
"""Events taken and not yet safe, failing ones included; ``take`` blocks at this number, the journal keeps the rest."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class Failing(TypedDict):
    """A version whose copy is not safe yet, and why."""

    event_id: int
    file_id: int
    version: int
    error: str
    tries: int


class Copier:
    """Calls ``write`` for each event until it succeeds, then ``safe``. ``write`` runs for several events at once,
    but never for two of the same content; the order is not kept."""

    def __init__(
        self, write: Callable[[FileEvent], Written], safe: Callable[[FileEvent], None], log: Any = _log
    ) -> None:
        self._log = log
        self._write = write
        self._safe = safe
        self._ready: LightQueue = LightQueue()
        self._under_way: dict[str, deque[FileEvent]] = {}
        self._room = Semaphore(WAITING_MAX)
        self._stopping = False
        self.trouble = Trouble()
        self.failing: dict[int, Failing] = {}
        self.waiting = 0
        self.copied = 0
        self.repeated = 0

    def take(self, event: FileEvent) -> None:
        """Promise to copy the event; blocks while ``WAITING_MAX`` are promised."""
        self._room.acquire()
        self.waiting += 1
        self._ready.put(event)

    def stop(self) -> None:
        """Let every ``work`` return after the copy in progress."""
        self._stopping = True
        self.trouble.stop()
        for _ in range(COPIES_AT_ONCE):
            self._ready.put(None)

    def work(self) -> None:
        """Copy until ``stop``; run it ``COPIES_AT_ONCE`` times. ``DirectoryGone`` ends it."""
        while (event := self._ready.get()) is not None and not self._stopping:
            content = str(event.get("sha256"))
            if content in self._under_way:
                self._under_way[content].append(event)  # whoever copies that content goes on with it
                continue
            queue = self._under_way[content] = deque([event])
            try:
                while queue and not self._stopping:
                    self._copy(queue.popleft())
            finally:
                del self._under_way[content]

    def _copy(self, event: FileEvent) -> None:
        self.trouble.wait()
        if self._stopping:
            return  # as when it is cancelled
        try:
            written = self._write(event)
        except DirectoryGone:
            raise
        except Cancelled:
            return  # the journal has it: the next start takes it again
        except Exception as exc:
            self._try_later(event, exc)
            return
        self.trouble.over()
        if written.set_aside:
            self._log.error("damaged_file_set_aside", path=written.set_aside, event_id=event["event_id"])
        if written.repeated:
            self.repeated += 1
        else:
            self.copied += 1
        if self.failing.pop(event["event_id"], None):
            self._log.info("copy_recovered", event_id=event["event_id"])
        self.waiting -= 1
        self._room.release()
        self._safe(event)

    def _try_later(self, event: FileEvent, error: Exception) -> None:
        event_id = event["event_id"]
        tries = self.failing[event_id]["tries"] + 1 if event_id in self.failing else 1
        # On a disk that takes nothing each waits for its turn besides; one that takes small files alone is not filled
        # again and again with the beginning of a large one.
        most = DISK_PAUSE_SECONDS if self.trouble.note(error) else LONGEST_PAUSE_SECONDS
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(tries - 1, 30), most)
        text = describe(error)
        self.failing[event_id] = {
            "event_id": event_id,
            "file_id": event["id"],
            "version": event["version"],
            "error": text,
            "tries": tries,
        }
        self._log.error("copy_failed", event_id=event_id, file_id=event["id"], error=text, tries=tries, retry_in=pause)
        eventlet.spawn_after(pause, self._ready.put, event)
