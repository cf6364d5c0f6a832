"""One stretch of copying: from the moment this process holds the directory until it must let go of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import eventlet
from eventlet import tpool

from backup.chain import LinkedEvent, Links, identity_hash, link
from backup.chain_log import ChainWriter, Line
from backup.compaction import Compaction
from backup.copier import COPIES_AT_ONCE, Copier
from backup.errors import DirectoryGone, describe
from backup.history import History, Written
from backup.home import Marker, Seal
from backup.origins import Origins
from backup.progress import Contiguous, Place, read_place, write_place
from backup.reporter import Reporter
from backup.retention import Retention
from backup.together import Together
from docsave_services import tracing
from docsave_services.contracts import ChangesPage, FileEvent
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.retention import KEEP_EVERYTHING, Policy
from docsave_services.journal_reader import JournalReader
from docsave_services.log import get_logger
from docsave_services.metrics.instruments import note_read
from docsave_services.storage import BlobStore
from docsave_services.wake import Wake

_log = get_logger(__name__)

REPORTED_WRITE_SECONDS = 1.0
"""A confirmed report alone is written down this much later: repeating it after a crash costs nothing."""

GATHER_SECONDS = 0.05
"""The moves of so long are written together. One write is three fsyncs, for which uploads and copies wait, too; after a
crash what lies behind the written place is looked at once more."""

PLACE_RETRY_SECONDS = 1.0
PLACE_RETRY_SECONDS_MAX = 15.0


class Session:
    """Reads the journal from the durable place, copies, reports, and moves the place. ``files`` calls that service,
    ``chain`` reaches up to the place at least."""

    def __init__(
        self,
        marker: Marker,
        seal: Seal,
        blobs: BlobStore,
        files: Callable[..., Any],
        chain: ChainWriter,
        compact_after: int | None = None,
        retention: Policy = KEEP_EVERYTHING,
    ) -> None:
        self.root = seal.path.parent
        self._epoch = marker.epoch
        self._seal = seal
        self._files = files
        self.durable = read_place(self.root, marker.epoch)
        self._already_copied = self.durable.copied
        self._copied = Contiguous(self.durable.copied)
        self._reported = Contiguous(self.durable.reported)
        self.history = History(self.root, blobs, check=seal)
        self._chain = chain
        self._links = Links(self.durable.copied, chain.view.link(self.durable.copied))
        self._lines: dict[int, Line] = {}
        self.origins = Origins()
        self.copier = Copier(self._write, self._is_safe)
        self.compaction = Compaction(self.root, compact_after, seal, Retention(self.root, retention))
        self.reporter = Reporter(lambda **report: files("protected", **report), self._is_reported, self._durable_cursor)
        # From `reported`, not `copied`: what lies between is safe but perhaps unknown to the files service.
        self.reader = JournalReader(self._fetch, self._deliver, Cursor(marker.epoch, self.durable.reported))
        self.place_error: str | None = None
        self._place_pause = PLACE_RETRY_SECONDS
        self._moved = Wake()
        self._stopping = False
        self._threads = Together()

    def run(self) -> None:
        """Work until ``stop``. Raises what made going on impossible: ``CursorExpired``, ``DirectoryGone``, a bug."""
        disturbed = [self._threads.spawn(self.reader.run), self._threads.spawn(self.reporter.run)]
        finishing = [self._threads.spawn(self.copier.work) for _ in range(COPIES_AT_ONCE)]
        finishing += [self._threads.spawn(work) for work in (self._keep_place, self._sweep, self.compaction.run)]
        try:
            self._threads.wait()
        finally:
            self._stopping = True
            for thread in disturbed:
                thread.kill()
            self.compaction.stop()
            self.copier.stop()
            self._moved.ring()
            # Threads of the operating system may still write: nobody else may have the directory before they end.
            for thread in finishing:
                thread.wait()

    def stop(self) -> None:
        """Let ``run`` return when the copies in progress have been given up or finished."""
        self._stopping = True
        self._threads.end()

    def _fetch(self, since: str, limit: int) -> ChangesPage:
        return cast(ChangesPage, self._files("changes", since=since, limit=limit))

    def _deliver(self, events: list[FileEvent]) -> None:
        for event in events:
            if event["event_id"] <= self._already_copied:
                self.reporter.add(event)
            elif linked := self._links.take(event):
                self.copier.take(linked)

    def _write(self, event: FileEvent) -> Written:
        tracing.adopt(self.origins.of(event["event_id"]).traceparent)
        with tracing.span("copy version"):
            written = cast(Written, tpool.execute(self.history.write, event, self._is_stopping))
        self._lines[event["event_id"]] = _line(event, written)
        return written

    def _is_stopping(self) -> bool:
        return self._stopping

    def _is_safe(self, event: FileEvent) -> None:
        self._copied.done(event["event_id"])
        note_read("backup", event["at"])
        request_id = self.origins.take(event["event_id"]).request_id
        place = {"event_id": event["event_id"], "file_id": event["id"], "version": event["version"]}
        _log.info("version_copied", **place, request_id=request_id)
        self.reporter.add(event)
        self.compaction.hint(event)
        self._moved.ring()

    def _is_reported(self, event_ids: list[int]) -> None:
        for event_id in event_ids:
            self._reported.done(event_id)
        self._moved.ring()

    def _durable_cursor(self) -> str:
        """The place that is on disk, in a directory that is still there: more is never claimed."""
        place = self.durable.copied
        tpool.execute(self._seal)
        return str(Cursor(self._epoch, place))

    def _keep_place(self) -> None:
        """Write the place down when it moved: at once when idle, many moves in one write under load."""
        while not self._stopping:
            self._moved.wait()
            if self._copied.place == self.durable.copied and not self._stopping:
                self._moved.wait(REPORTED_WRITE_SECONDS)
            self._write_place()
            eventlet.sleep(GATHER_SECONDS)
        self._write_place()

    def _write_place(self) -> None:
        place = Place(self._copied.place, min(self._reported.place, self._copied.place))
        if place == self.durable:
            return
        event_ids = range(self.durable.copied + 1, place.copied + 1)
        try:
            tpool.execute(self._write_place_blocking, place, [self._lines[event_id] for event_id in event_ids])
        except DirectoryGone:
            raise
        except OSError as exc:
            self.place_error = describe(exc)
            _log.error("backup_cursor_not_written", error=self.place_error)
            eventlet.sleep(self._place_pause)
            self._place_pause = min(self._place_pause * 2, PLACE_RETRY_SECONDS_MAX)
            self._moved.ring()
            return
        for event_id in event_ids:
            del self._lines[event_id]
        self.durable, self.place_error, self._place_pause = place, None, PLACE_RETRY_SECONDS
        if event_ids:
            self.reporter.place_moved()

    def _write_place_blocking(self, place: Place, lines: list[Line]) -> None:
        self._seal()
        self._chain.append(lines)
        write_place(self.root, self._epoch, place)

    def _sweep(self) -> None:
        try:
            swept = tpool.execute(self.history.sweep, self._is_stopping)
        except OSError as exc:
            _log.warning("sweep_failed", error=describe(exc))
            return
        if swept:
            _log.info("temporary_files_swept", count=swept)


def _line(event: FileEvent, written: Written) -> Line:
    """The entry's line in the chain. An event without ``previous`` does not come here: ``_deliver`` links all."""
    linked = cast(LinkedEvent, event)
    own = link(bytes.fromhex(linked["previous"]), identity_hash(event))
    return Line(event["event_id"], event["user_id"], event["id"], event["version"], written.leaf, own)
