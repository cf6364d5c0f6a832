"""Who may write the backup and when: looks at the directory, waits for its turn, and runs sessions of copying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import eventlet
from eventlet import tpool

from backup.chain import Head
from backup.chain_adoption import adopt, usable_chain
from backup.chain_log import ChainView, ChainWriter
from backup.copier import Failing
from backup.errors import Cancelled, DirectoryGone, Refused, describe
from backup.history import History
from backup.home import EPOCH_CHANGED, REFUSING, Home, Marker
from backup.progress import Place, read_place
from backup.reporter import ReportsLost
from backup.session import Session
from backup.targets.follower import Follower
from backup.targets.target import Target
from backup.trouble import DISK_FULL, READ_ONLY_DISK
from backup.verifier import Verifier
from docsave_services.contracts import FileEvent
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.retention import KEEP_EVERYTHING, Policy
from docsave_services.errors import BlobDamaged, BlobMissing, CursorExpired, DocsaveError, Unavailable
from docsave_services.log import get_logger
from docsave_services.storage import BlobStore
from docsave_services.wake import Wake

_log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LOOK_SECONDS = 1.0
"""A service that may not write looks again this often; a standby takes over within about this time."""

STARTING = "starting"
WAITING = "waiting"
STANDBY = "standby"
ADOPTING = "adopting"
ACTIVE = "active"
STOPPED = "stopped"
CURSOR_STUCK = "cursor_stuck"

FAILING_SHOWN_MAX = 100


class Engine:
    """Runs until ``stop`` and survives the absence of everything else. ``files`` calls the files service; from
    ``mirrors``, directories, damage is repaired."""

    def __init__(
        self,
        home: Home,
        blobs: BlobStore,
        files: Callable[..., Any],
        verify_days: int = 0,
        compact_after: int | None = None,
        retention: Policy = KEEP_EVERYTHING,
        mirrors: Sequence[Path] = (),
    ) -> None:
        self.home = home
        self.state = STARTING
        self.reason: str | None = None
        self._blobs = blobs
        self._files = files
        self._session: Session | None = None
        self._verify_days = verify_days
        self._compact_after = compact_after
        self._retention = retention
        self._journal_doubted = False
        self._stopping = False
        self._wake = Wake()
        self.verifier = Verifier(home, blobs, files, self._writer, lambda: self._stopping, mirrors)
        self.followers: list[Follower] = []

    def run(self) -> None:
        """Take the directory when it is ours and free, copy, and begin again when something ended that."""
        while not self._stopping:
            try:
                self._attempt()
            except Refused as exc:
                self._show(exc.state, str(exc))
            except (DirectoryGone, OSError) as exc:
                self._show(REFUSING, describe(exc))
            except DocsaveError as exc:
                if self.state != EPOCH_CHANGED:
                    self._show(WAITING, describe(exc))
            except Exception as exc:
                _log.exception("backup_session_failed")
                self._show(REFUSING, describe(exc))
            if not self._stopping:
                self._wake.wait(LOOK_SECONDS)
        self._show(STOPPED, None)

    def stop(self) -> None:
        """Ask ``run`` to return soon; never blocks."""
        self._stopping = True
        self._wake.ring()
        for follower in self.followers:
            follower.stop()
        if self._session:
            self._session.stop()

    def follow(self, target: Target) -> Follower:
        """One more place for the backup; its ``run`` is the caller's to start, ``stop`` ends it."""
        self.followers.append(Follower(self.home.root, target, self._durable_here))
        return self.followers[-1]

    def offer(self, event: FileEvent) -> None:
        """A hint from the bus. Without a session it is not needed: the next one reads the journal."""
        if self._session:
            self._session.origins.note(event)
            self._session.reader.offer(event)

    def retain(self, trust_clock: bool) -> None:
        """Apply retention soon. ``Unavailable`` when this process does not write."""
        if self._session is None:
            raise Unavailable("only the process that copies can apply retention; this one does not copy at the moment")
        self._session.compaction.ask_round(trust_clock)

    def _attempt(self) -> None:
        marker = tpool.execute(self.home.marker)
        epoch = self._ask_epoch(marker) if marker is None or self._must_ask(marker) else marker.epoch
        lock = tpool.execute(self.home.lock)
        if lock is None:
            self._show(STANDBY, "another process holds the backup directory")
            return
        try:
            marker = tpool.execute(self.home.marker) or tpool.execute(self.home.initialise, epoch)
            marker.require_epoch(epoch)
            tpool.execute(self.home.adopt, marker)
            self._copy(marker)
        finally:
            lock.release()

    def _must_ask(self, marker: Marker) -> bool:
        return self._journal_doubted or not tpool.execute(self.home.is_recorded, marker)

    def _ask_epoch(self, marker: Marker | None) -> str:
        """The journal's epoch. ``Refused`` when it is not the marker's, or the journal is behind the copies."""
        place = tpool.execute(read_place, self.home.root, marker.epoch) if marker else Place()  # before it moves on
        head = Cursor.parse(self._files("head")["cursor"])
        if marker:
            marker.require_epoch(head.epoch)
            if head.event_id < place.copied:
                raise Refused(REFUSING, "the journal ends before the newest copy; was an old database restored?")
        self._journal_doubted = False
        return head.epoch

    def _copy(self, marker: Marker) -> None:
        seal = self.home.seal()
        try:
            chain = self._open_chain(tpool.execute(read_place, self.home.root, marker.epoch).copied)
        except Cancelled:
            return
        session = Session(marker, seal, self._blobs, self._files, chain, self._compact_after, self._retention)
        if self._stopping:
            return
        self._session = session
        self._show(ACTIVE, None)
        scheduled = eventlet.spawn(self.verifier.keep_verifying, self._verify_days) if self._verify_days else None
        try:
            session.run()
        except CursorExpired as exc:
            self._journal_doubted = True
            raise Refused(EPOCH_CHANGED, "the journal does not know the backup's place in it") from exc
        except ReportsLost as exc:
            _log.warning("journal_read_again", reason=describe(exc))
        finally:
            if scheduled:
                scheduled.kill()
            self._session = None

    def _durable_here(self) -> int | None:
        return self._session.durable.copied if self._session else None

    def _writer(self) -> History | None:
        return self._session.history if self._session else None

    def _open_chain(self, copied: int) -> ChainWriter:
        """The chain, made from the entries where it does not reach up to ``copied``: an older directory has none."""
        chain: ChainWriter = tpool.execute(usable_chain, self.home.root, copied)
        if chain.size < copied:
            self._show(ADOPTING, "the chain of the history is being made from its entries")
            added = tpool.execute(adopt, self.home.root, chain, copied, lambda: self._stopping)
            _log.warning("chain_adopted", entries=added, head=tpool.execute(chain.view.head)["root"])
        return chain

    @property
    def condition(self) -> tuple[str, str | None]:
        """The state that an operator should see, and why: of an active process that of the disk, if it is ill."""
        session = self._session
        if session and session.copier.trouble.state:
            return session.copier.trouble.state, session.copier.trouble.reason
        if session and session.place_error:
            return CURSOR_STUCK, f"the place in the journal cannot be written: {session.place_error}"
        return self.state, self.reason

    def _show(self, state: str, reason: str | None) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        log = _log.error if state in (REFUSING, EPOCH_CHANGED, DISK_FULL, READ_ONLY_DISK) else _log.info
        log("backup_state", state=state, reason=reason)

    def status(self) -> dict[str, Any]:
        """What an operator wants to know; every number is of this process but ``cursor``, which is the directory's."""
        session = self._session
        place, epoch = self._durable_place()
        head = self._head()
        known = head is not None and epoch == head.epoch
        failing = list(session.copier.failing.values()) if session else []
        state, reason = self.condition
        return {
            "state": state,
            "reason": reason,
            "cursor": str(Cursor(epoch, place.copied)) if epoch else None,
            "head": str(head) if head else None,
            "lag_events": head.event_id - place.copied if head and known else None,
            "failing": failing[:FAILING_SHOWN_MAX],
            "failing_total": len(failing),
            "advice": _advice(failing),
            "waiting": session.copier.waiting if session else 0,
            "copied": session.copier.copied if session else 0,
            "repeated": session.copier.repeated if session else 0,
            "reported": place.reported,
            "report_error": session.reporter.error if session else None,
            "compaction": session.compaction.status() if session else None,
            "retention": session.compaction.retention.status() if session else None,
            "cursor_error": session.place_error if session else None,
            "targets": {follower.name: follower.status() for follower in self.followers},
            **self.verifier.status(),
            "chain": self._chain_head(place.copied),
        }

    def _durable_place(self) -> tuple[Place, str | None]:
        try:
            marker = tpool.execute(self.home.marker)
        except (Refused, OSError):
            return Place(), None  # the state already says why
        if marker is None:
            return Place(), None
        return read_place(self.home.root, marker.epoch), marker.epoch

    def _chain_head(self, size: int) -> Head | None:
        """The head over all that is durably copied; None while it cannot be read."""
        try:
            head: Head = tpool.execute(ChainView(self.home.root).head, size)
        except (OSError, BlobDamaged):
            return None  # being made, or damaged: verify says so
        return head

    def _head(self) -> Cursor | None:
        try:
            with eventlet.Timeout(2.0, Unavailable("the files service did not answer in time")):
                return Cursor.parse(self._files("head")["cursor"])
        except DocsaveError:
            return None  # shown as null: the files service is away, which is not this service's trouble

    def read(self, function: Callable[Concatenate[Path, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(root, …)`` in a thread; ``Unavailable`` while the directory is not there or cannot be read.

        The files service is asked whether this is the history of its journal: ids of another one are other people's.
        """
        try:
            self._ask_epoch(tpool.execute(self.home.require_marker))
            result: T = tpool.execute(function, self.home.root, *args, **kwargs)
        except Refused as exc:
            raise Unavailable(str(exc)) from exc
        except OSError as exc:
            _log.error("backup_read_failed", error=describe(exc))
            raise Unavailable("the backup directory cannot be read") from exc
        return result


def _advice(failing: Sequence[Failing]) -> str | None:
    """What an operator should do about versions that cannot be copied by trying again."""
    lost = sum(one["error"].startswith(BlobMissing.code) for one in failing)
    if not lost:
        return None
    return (
        f"the content of {lost} versions is not in the blob store any more: if an earlier backup directory has it, "
        "stop docsave, copy that one with all that is in it, and name the copy in DOCSAVE_BACKUP_DIR"
    )
