"""Following the journal for as long as a process lives: from its head, through absences and replacements."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import eventlet

from docsave_services.contracts import ChangesPage, FileEvent
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import CursorExpired, DocsaveError
from docsave_services.journal_reader import JournalReader
from docsave_services.log import get_logger

_log = get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 3.0
SETTLED_SECONDS = 30.0
"""A journal that was followed for so long is sound; the next trouble is a new one."""


class JournalFollower:
    """Reads the journal from its present head and hands each event after it to ``deliver`` (see ``JournalReader``).

    ``began(head)`` is told where that is, before the first event; ``replaced()`` that the journal is another one,
    before it begins anew with that. ``files`` is how to call the files service.
    """

    def __init__(
        self,
        files: Callable[..., Any],
        deliver: Callable[[list[FileEvent]], None],
        began: Callable[[Cursor], None],
        replaced: Callable[[], None],
    ) -> None:
        self._files = files
        self._deliver = deliver
        self._began = began
        self._replaced = replaced
        self._reader: JournalReader | None = None
        self._stopped = False

    def offer(self, event: FileEvent) -> None:
        """An event from the bus. Before the journal's head is known it is not needed: it lies in the journal."""
        if self._reader is not None:
            self._reader.offer(event)

    def wake(self) -> None:
        """Look into the journal soon."""
        if self._reader is not None:
            self._reader.wake()

    def run(self) -> None:
        """Follow until ``stop``. While ``files`` is away, try again with growing pauses."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stopped:
            started = time.monotonic()
            try:
                self._follow(Cursor.parse(self._files("head")["cursor"]))
            except CursorExpired:
                _log.warning("journal_replaced")
                self._reader = None
                self._replaced()
            except (DocsaveError, KeyError, TypeError, ValueError) as exc:
                _log.warning("journal_head_unknown", error=str(exc), retry_in=pause)
            if time.monotonic() - started > SETTLED_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            if not self._stopped:
                eventlet.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def stop(self) -> None:
        """Let ``run`` return soon."""
        self._stopped = True
        if self._reader is not None:
            self._reader.stop()

    def _follow(self, head: Cursor) -> None:
        self._reader = JournalReader(self._fetch, self._deliver, head)
        self._began(head)
        _log.info("journal_followed", cursor=str(head))
        self._reader.run()

    def _fetch(self, since: str, limit: int) -> ChangesPage:
        page: ChangesPage = self._files("changes", since=since, limit=limit)
        return page
