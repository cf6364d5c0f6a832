"""Passes of ``verify`` in the running service: by schedule, on demand, with repair; one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import eventlet
from eventlet import tpool
from eventlet.event import Event
from eventlet.semaphore import Semaphore

from backup.errors import Cancelled, DirectoryGone, Refused, describe
from backup.history import History
from backup.home import Home, Marker
from backup.noted_head import note_head, noted_head
from backup.pace import BACKGROUND_BYTES_PER_SECOND, Pace
from backup.progress import read_place
from backup.repair import Repair, lines_of
from backup.verify import EVERYTHING, Report, Share, Verification, absent, all_findings, is_chain_sound
from backup.verify_schedule import Schedule
from docsave_services.contracts import CHANGES_LIMIT_MAX, FileEvent
from docsave_services.errors import DocsaveError, Unavailable
from docsave_services.log import get_logger
from docsave_services.storage import BlobStore

_log = get_logger(__name__)

LOOK_SECONDS = 60.0
"""How often it is looked whether a share is due."""

REPAIRED_MAX = 10_000
"""Events asked for in the journal in one repair."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a pass is to do: whose turn it is, whether to repair, and whether to spare the disk."""

    share: Share = EVERYTHING
    repair: bool = False
    gently: bool = False


class Verifier:
    """Runs passes over the directory of ``home``. ``files`` calls that service; ``history`` is the active session's,
    None while this process may not write; ``mirrors`` are directories to repair from."""

    def __init__(
        self,
        home: Home,
        blobs: BlobStore,
        files: Callable[..., Any],
        history: Callable[[], History | None],
        stopping: Callable[[], bool],
        mirrors: Sequence[Path] = (),
    ) -> None:
        self._home = home
        self._blobs = blobs
        self._files = files
        self._history = history
        self._stopping = stopping
        self._mirrors = mirrors
        self._turn = Semaphore(1)
        self._asked_for = 0
        self._shared: dict[Order, Event] = {}
        self._running: Verification | None = None
        self._last: dict[str, Any] | None = None

    def status(self) -> dict[str, Any]:
        """Whether a pass is under way and how far it is, and what the last one found."""
        running = self._running
        progress = None
        if running:
            report = running.report
            progress = {"checked": report["checked"], "of": running.total, "bytes": report["bytes"]}
        return {"verifying": running is not None, "verified": progress, "last_verified": self._last}

    def verify(self, repair: bool = False) -> Report:
        """Read everything again. Several callers share one pass. ``Unavailable`` when this process cannot, now."""
        return self._pass(Order(repair=repair))

    def keep_verifying(self, days: int) -> None:
        """Read shares by schedule until killed: everything once in ``days`` days."""
        schedule = Schedule(self._home.root, days)
        while True:
            try:
                share = tpool.execute(schedule.due)
                if share is not None:
                    report = self._pass(Order(share, gently=True))
                    tpool.execute(schedule.done, share, report)
                    continue
            except (DocsaveError, OSError) as exc:
                _log.warning("verify_share_failed", error=describe(exc))
            eventlet.sleep(LOOK_SECONDS)

    def _pass(self, order: Order) -> Report:
        if order not in self._shared:
            self._shared[order] = Event()
            eventlet.spawn(self._run, order, self._shared[order])
        return self._shared[order].wait()  # type: ignore[no-any-return]

    def _run(self, order: Order, done: Event) -> None:
        self._asked_for += not order.gently
        try:
            with self._turn:
                report = self._verify(order)
        except (Refused, Cancelled, DirectoryGone) as exc:
            done.send_exception(Unavailable(str(exc) or "the pass was given up"))
        except OSError as exc:
            _log.error("verify_failed", error=describe(exc))
            done.send_exception(Unavailable("the backup directory cannot be read"))
        except Exception as exc:
            done.send_exception(exc)
        else:
            done.send(report)
        finally:
            self._asked_for -= not order.gently
            self._running = None
            del self._shared[order]

    def _verify(self, order: Order) -> Report:
        marker: Marker = tpool.execute(self._home.require_marker)
        if order.repair and self._history() is None:
            raise Unavailable("only the process that copies can repair; this one does not copy at the moment")
        copied = tpool.execute(read_place, self._home.root, marker.epoch).copied
        self._running = running = Verification(
            self._home.root,
            lambda: self._stopping() or (order.gently and self._asked_for > 0),  # nobody waits for the schedule
            copied,
            share=order.share,
            pace=Pace(BACKGROUND_BYTES_PER_SECOND if order.gently else None),
            noted=noted_head(self._home.data_dir, marker.store_id),
            blobs=self._blobs if order.repair else None,
        )
        report: Report = tpool.execute(running.run)
        if order.share == EVERYTHING:
            report["journal_compared"] = self._compare(running, marker.epoch, copied)
        if order.repair:
            self._repair(report, marker.epoch)
        self._conclude(order, report, marker)
        return report

    def _conclude(self, order: Order, report: Report, marker: Marker) -> None:
        for finding in all_findings(report):
            _log.error("verify_found", **finding)
        counts = {"checked": report["checked"], "bytes": report["bytes"], "repaired": len(report["repaired"])}
        counts |= {"damaged": len(report["damaged"]), "missing": len(report["missing"])}
        head: dict[str, Any] = dict(report["head"] or {})
        share = f"{order.share.number + 1}/{order.share.of}"
        _log.info("verified", share=share, **counts, chain_size=head.get("size"), chain_root=head.get("root"))
        self._last = {"share": share, **counts}
        if order.share == EVERYTHING:
            tpool.execute(Schedule(self._home.root, 1).all_done, report)
        if report["head"] and order.share.has_chain and is_chain_sound(report):
            tpool.execute(note_head, self._home.data_dir, marker.store_id, report["head"])

    def _compare(self, running: Verification, epoch: str, copied: int) -> bool:
        """Add to the report what the journal has up to ``copied`` and the directory has not, and what is newer than
        the chain and not in the journal; whether it could be asked."""
        report, newer = running.report, running.newer
        known = {(finding["file_id"], finding["version"]) for finding in all_findings(report)}
        last = max(newer, default=copied)
        since = f"{epoch}:0"
        while not self._stopping():
            try:
                items = self._files("changes", since=since, limit=CHANGES_LIMIT_MAX)["items"]
            except DocsaveError as exc:
                _log.warning("verify_without_journal", error=describe(exc))
                return False
            for event in items:
                _drop_if_same(newer, event)
            due = [event for event in items if event["event_id"] <= copied]
            found = tpool.execute(absent, self._home.root, due)
            report["missing"] += [f for f in found if (f["file_id"], f["version"]) not in known]
            if len(items) < CHANGES_LIMIT_MAX or items[-1]["event_id"] >= max(copied, last):
                report["damaged"] += newer.values()
                return True
            since = items[-1]["cursor"]
        return False

    def _repair(self, report: Report, epoch: str) -> None:
        lines = tpool.execute(lines_of, self._home.root, report)
        numbers = sorted(line.event_id for line in lines.values())[:REPAIRED_MAX]
        events = {event["event_id"]: event for event in (self._event(epoch, n) for n in numbers) if event}
        history = self._history()
        if history is None:
            raise Unavailable("copying stopped before anything was repaired; ask again")
        tpool.execute(Repair(history, self._blobs, lines, events, self._stopping, self._mirrors).run, report)

    def _event(self, epoch: str, event_id: int) -> FileEvent | None:
        try:
            items = self._files("changes", since=f"{epoch}:{event_id - 1}", limit=1)["items"]
        except DocsaveError:
            return None
        return items[0] if items else None


def _drop_if_same(newer: dict[int, Any], event: FileEvent) -> None:
    finding = newer.get(event["event_id"])
    if finding and (finding["file_id"], finding["version"]) == (event["id"], event["version"]):
        del newer[event["event_id"]]
