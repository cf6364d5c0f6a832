"""One target and the green threads that keep it like the backup directory, whatever becomes of the other targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict, cast

import eventlet
from eventlet import tpool

from backup.chain_log import ChainView, Line
from backup.copier import COPIES_AT_ONCE, Copier, Failing
from backup.errors import DirectoryGone, Refused, describe
from backup.history import Written
from backup.progress import Contiguous
from backup.targets.item import read_item
from backup.targets.target import BESIDE, DIVERGED, Target, TargetAway
from backup.together import Together
from docsave_services.contracts import BACKUP_MARKER, FileEvent
from docsave_services.errors import BlobDamaged
from docsave_services.log import get_logger
from docsave_services.wake import Wake

_log = get_logger(__name__)

LOOK_SECONDS = 0.5
"""What is new in the backup directory is on its way to a target within about this time."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
"""Between two looks at a target that cannot be used."""

APPENDED_MAX = 1000
READ_AHEAD = 200
BESIDE_SECONDS = 5.0
FAILING_SHOWN_MAX = 100

WAITING = "waiting"
ACTIVE = "active"
STOPPED = "stopped"


class TargetStatus(TypedDict):
    """What ``status`` shows of a target. ``copied`` and ``lag_entries`` are None until the target was seen."""

    state: str
    reason: str | None
    copied: int | None
    lag_entries: int | None
    waiting: int
    failing: list[Failing]
    failing_total: int


class Follower:
    """Brings every entry of the backup directory ``root`` to ``target``. ``through`` tells the last entry that is
    durable there; None while this process is not the one that writes."""

    def __init__(self, root: Path, target: Target, through: Callable[[], int | None]) -> None:
        self.name = target.name
        self.state = WAITING
        self.reason: str | None = None
        self._root = root
        self._target = target
        self._through = through
        self._visit: Visit | None = None
        self._copied: int | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._stopping = False
        self._wake = Wake()

    def run(self) -> None:
        """Follow until ``stop``, with growing pauses while the target cannot be used."""
        while not self._stopping:
            if self._through() is None:
                self._show(WAITING, "the backup is not active in this process")
                self._wake.wait(LOOK_SECONDS)
                continue
            self._follow()
            if not self._stopping and self.state != WAITING:
                self._wake.wait(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        self._show(STOPPED, None)

    def stop(self) -> None:
        """Ask ``run`` to return soon; never blocks."""
        self._stopping = True
        self._wake.ring()
        if self._visit:
            self._visit.stop()

    def status(self) -> TargetStatus:
        """How it is; the numbers are of this process's last look."""
        visit, through = self._visit, self._through()
        copied = visit.durable if visit else self._copied
        failing = list(visit.copier.failing.values()) if visit else []
        trouble = visit.copier.trouble if visit else None
        return {
            "state": trouble.state if trouble and trouble.state else self.state,
            "reason": trouble.reason if trouble and trouble.state else self.reason,
            "copied": copied,
            "lag_entries": None if copied is None or through is None else max(through - copied, 0),
            "waiting": visit.copier.waiting if visit else 0,
            "failing": failing[:FAILING_SHOWN_MAX],
            "failing_total": len(failing),
        }

    def _follow(self) -> None:
        try:
            place = self._open()
            visit = self._visit = Visit(self._root, self._target, place, self._through, self._progress)
            self._show(ACTIVE, None)
            visit.run()
            self._show(WAITING, None)
        except (TargetAway, Refused) as exc:
            self._show(exc.state, str(exc))
        except (DirectoryGone, OSError, BlobDamaged) as exc:
            self._show("unusable", describe(exc))
        except Exception as exc:
            _log.exception("target_failed", target=self.name)
            self._show("unusable", describe(exc))
        finally:
            self._visit = None
            self._target.close()

    def _open(self) -> int:
        """The place of the target: how many entries it has, all of them those of the backup directory."""
        marker = tpool.execute((self._root / BACKUP_MARKER).read_bytes)
        last: Line | None = tpool.execute(self._target.open, marker)
        if last is not None:
            ours = tpool.execute(ChainView(self._root).line, last.event_id)
            if ours is None or ours.link != last.link or last.event_id > (self._through() or 0):
                raise TargetAway(DIVERGED, f"entry {last.event_id} there is not that of the backup directory")
        tpool.execute(self._target.adopt, marker)
        self._copied = last.event_id if last else 0
        if self._copied == self._through():
            self._pause = FIRST_PAUSE_SECONDS
        return self._copied

    def _progress(self, place: int) -> None:
        self._copied = place
        self._pause = FIRST_PAUSE_SECONDS

    def _show(self, state: str, reason: str | None) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        log = _log.info if state in (ACTIVE, WAITING, STOPPED) else _log.error
        log("target_state", target=self.name, state=state, reason=reason)


class Visit:
    """One stretch of copying to an open target, from the entry after ``place``. ``moved`` hears of the place."""

    def __init__(
        self,
        root: Path,
        target: Target,
        place: int,
        through: Callable[[], int | None],
        moved: Callable[[int], None],
    ) -> None:
        self.durable = place
        self.copier = Copier(self._write, self._is_safe, _log.bind(target=target.name))
        self._root = root
        self._target = target
        self._through = through
        self._moved = moved
        self._chain = ChainView(root)
        self._taken = place
        self._copied = Contiguous(place)
        self._lines: dict[int, Line] = {}
        self._beside: dict[str, tuple[int, int]] = {}
        self._bell = Wake()
        self._stopping = False
        self._threads = Together()

    def run(self) -> None:
        """Work until ``stop``, or until the backup directory is not ours any more. Raises what made going on
        impossible."""
        disturbed = [self._threads.spawn(self._read)]
        finishing = [self._threads.spawn(self.copier.work) for _ in range(COPIES_AT_ONCE)]
        finishing += [self._threads.spawn(self._keep_place), self._threads.spawn(self._keep_beside)]
        try:
            self._threads.wait()
        finally:
            self._stopping = True
            for thread in disturbed:
                thread.kill()
            self.copier.stop()
            self._bell.ring()
            for thread in finishing:  # threads of the operating system may still write there
                thread.wait()

    def stop(self) -> None:
        """Let ``run`` return when the copies in progress have been given up or finished."""
        self._stopping = True
        self._threads.end()

    def _read(self) -> None:
        while not self._stopping:
            through = self._through()
            if through is None:
                self.stop()
            elif through > self._taken:
                self._take(self._taken + 1, min(through, self._taken + READ_AHEAD))
            else:
                eventlet.sleep(LOOK_SECONDS)

    def _take(self, first: int, last: int) -> None:
        for line, event in tpool.execute(self._lines_and_events, first, last):
            self._taken += 1
            if line is None:
                raise TargetAway("unusable", f"line {self._taken} of the backup's chain is damaged: verify says more")
            self._lines[line.event_id] = line
            if line.is_vouched_for:
                self.copier.take(event)
            else:  # it was missing when the chain was made: there is nothing to copy
                self._copied.done(line.event_id)
                self._bell.ring()

    def _lines_and_events(self, first: int, last: int) -> list[tuple[Line | None, FileEvent]]:
        found = list(self._chain.lines(first, last))
        if len(found) != last - first + 1:
            raise TargetAway("unusable", "the backup's chain ends too early")
        return [(line, self._event(line)) for line in found]

    def _event(self, line: Line | None) -> FileEvent:
        """What the copier must know; the entry itself is read when its turn has come."""
        if line is None or not line.is_vouched_for:
            return cast(FileEvent, {})
        try:
            content = read_item(self._root, line).event["sha256"]
        except (OSError, BlobDamaged):
            content = f"unreadable {line.event_id}"  # `_write` fails and shows it
        event = {"event_id": line.event_id, "id": line.file_id, "version": line.version, "sha256": content}
        return cast(FileEvent, event)

    def _write(self, event: FileEvent) -> Written:
        tpool.execute(self._write_blocking, self._lines[event["event_id"]])
        return Written(repeated=False)

    def _write_blocking(self, line: Line) -> None:
        self._target.write(read_item(self._root, line), lambda: self._stopping)

    def _is_safe(self, event: FileEvent) -> None:
        self._copied.done(event["event_id"])
        self._bell.ring()

    def _keep_place(self) -> None:
        while not self._stopping:
            self._bell.wait()
            while self._copied.place > self.durable:
                last = min(self._copied.place, self.durable + APPENDED_MAX)
                lines = [self._lines[number] for number in range(self.durable + 1, last + 1)]
                tpool.execute(self._target.append, lines)
                for line in lines:
                    del self._lines[line.event_id]
                self.durable = last
                self._moved(last)

    def _keep_beside(self) -> None:
        while not self._stopping:
            tpool.execute(self._copy_beside)
            for _ in range(int(BESIDE_SECONDS / LOOK_SECONDS)):
                if not self._stopping:
                    eventlet.sleep(LOOK_SECONDS)

    def _copy_beside(self) -> None:
        for path in (path for name in BESIDE for path in sorted((self._root / name).glob("[0-9]*.json"))):
            status, name = path.stat(), path.relative_to(self._root).as_posix()
            known = status.st_ino, status.st_mtime_ns
            if self._beside.get(name) != known:
                self._target.keep_beside(name, path.read_bytes())
                self._beside[name] = known
