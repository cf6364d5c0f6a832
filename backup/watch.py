"""What the backup tells of itself, every few seconds: its ``status`` as gauges.

A part that has a status of its own adds a function to ``PARTS``: from the status to readings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eventlet import tpool
from nameko.extensions import DependencyProvider

from backup.engine import ACTIVE, ADOPTING, CURSOR_STUCK, STANDBY, STARTING, STOPPED, WAITING, Engine
from backup.extensions import BackupEngine
from backup.home import EPOCH_CHANGED, REFUSING
from backup.retention import CLOCK_DOUBTED
from backup.targets import follower
from backup.trouble import DISK_FULL, READ_ONLY_DISK
from backup.verify_schedule import Schedule
from docsave_services.metrics.disk import disk_readings
from docsave_services.metrics.registry import Gauge, Reading
from docsave_services.metrics.watch import Watch, start_watch

Status = dict[str, Any]

STATES = frozenset((STARTING, WAITING, STANDBY, ADOPTING, ACTIVE, STOPPED)) | frozenset(
    (CURSOR_STUCK, REFUSING, EPOCH_CHANGED, DISK_FULL, READ_ONLY_DISK)
)

STATE = Gauge("docsave_backup_state", "1 for the state that this process is in, 0 for the others.", ("state",))
COPIES_WAITING = Gauge("docsave_backup_copies_waiting", "Versions taken whose copies are not safe yet.")
FAILING = Gauge("docsave_backup_copies_failing", "Versions of these whose copy failed and is tried again.")
COPIED = Gauge("docsave_backup_copies_made", "Copies made since this process became active.")
CHAIN = Gauge("docsave_backup_chain_entries", "Entries of the history that the chain holds.")
COMPACTED = Gauge("docsave_backup_compacted", "Versions turned into patches since this process became active.")
SAVED = Gauge("docsave_backup_compaction_saved_bytes", "Bytes that these take less.")
COMPACTION_FAILED = Gauge("docsave_backup_compaction_failed", "Whether the last round of compaction failed.")
THINNED = Gauge("docsave_backup_thinned", "Versions given up by rules since this process became active.")
HELD = Gauge("docsave_backup_held", "Times that a hold kept a version which no rule did, since then.")
CLOCK_DOUBT = Gauge("docsave_backup_retention_clock_doubted", "Whether retention waits because the clock jumped.")
TARGET_WORKS = Gauge("docsave_backup_target_works", "Whether the further place takes copies.", ("target",))
TARGET_LAG = Gauge("docsave_backup_target_lag_entries", "Entries that the further place has not got yet.", ("target",))
TARGET_FAILING = Gauge("docsave_backup_target_copies_failing", "Copies to it that fail.", ("target",))
VERIFYING = Gauge("docsave_backup_verify_running", "Whether a pass of verifying is under way.")
VERIFY_SHARE = Gauge("docsave_backup_verify_round_ratio", "How much of the present round of verifying is done.")
VERIFY_AT = Gauge("docsave_backup_verify_timestamp_seconds", "When the share of files that was read last was due.")
FOUND = Gauge("docsave_backup_verify_findings", "Bad or missing items that verifying found and not sound since.")


def _state(status: Status) -> Iterator[Reading]:
    for state in sorted(STATES):
        yield Reading(STATE, float(status["state"] == state), (state,))


def _copies(status: Status) -> Iterator[Reading]:
    yield Reading(COPIES_WAITING, status["waiting"])
    yield Reading(FAILING, status["failing_total"])
    yield Reading(COPIED, status["copied"])
    if status["chain"]:
        yield Reading(CHAIN, status["chain"]["size"])


def _compaction(status: Status) -> Iterator[Reading]:
    compaction = status["compaction"]
    if compaction:
        yield Reading(COMPACTED, compaction["compacted"])
        yield Reading(SAVED, compaction["saved_bytes"])
        yield Reading(COMPACTION_FAILED, float(compaction["error"] is not None))


def _retention(status: Status) -> Iterator[Reading]:
    retention = status["retention"]
    if retention:
        yield Reading(THINNED, retention["thinned"])
        yield Reading(HELD, retention["held"])
        yield Reading(CLOCK_DOUBT, float(retention["state"] == CLOCK_DOUBTED))


def _targets(status: Status) -> Iterator[Reading]:
    if status["state"] != ACTIVE:
        return
    for name, target in status["targets"].items():
        yield Reading(TARGET_WORKS, float(target["state"] in (follower.ACTIVE, follower.WAITING)), (name,))
        yield Reading(TARGET_FAILING, target["failing_total"], (name,))
        if target["lag_entries"] is not None:
            yield Reading(TARGET_LAG, target["lag_entries"], (name,))


def _verifying(status: Status) -> Iterator[Reading]:
    yield Reading(VERIFYING, float(status["verifying"]))


PARTS: list[Callable[[Status], Iterator[Reading]]] = [
    _state,
    _copies,
    _compaction,
    _retention,
    _targets,
    _verifying,
]


def status_readings(status: Status) -> Iterator[Reading]:
    """The gauges of a status."""
    for part in PARTS:
        yield from part(status)


def _round(root: Path) -> Iterator[Reading]:
    """How far the reading by schedule has come, and what it and passes over everything have found. Blocking."""
    current = Schedule(root, days=1).current()
    if current is None:
        return
    yield Reading(VERIFY_SHARE, current.next / current.of)
    yield Reading(VERIFY_AT, current.at.timestamp())
    yield Reading(FOUND, len(current.findings))


class BackupWatch(DependencyProvider):
    """Publishes the gauges for as long as the container."""

    def start(self) -> None:
        engine = next(each for each in self.container.dependencies if isinstance(each, BackupEngine)).engine
        start_watch(self.container, Watch("backup", lambda: _readings(engine)))

    def get_dependency(self, worker_ctx: Any) -> None:
        return None


def _readings(engine: Engine) -> Iterator[Reading]:
    status = engine.status()
    yield from status_readings(status)
    if status["state"] == ACTIVE:
        yield from tpool.execute(lambda: list(_disk(engine)))


def _disk(engine: Engine) -> Iterator[Reading]:
    yield from disk_readings("backup", engine.home.root)
    yield from _round(engine.home.root)
