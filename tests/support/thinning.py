"""Retention applied to a backup directory, as a round of the service does it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from backup.catalogue import file_directories
from backup.thinning import FileThinning, Thinned
from docsave_services.domain.retention import parse_policy
from tests.support.crashing import Countdown

MOMENT = datetime(2026, 11, 25, tzinfo=UTC)


def thin(root: Path, rules: str) -> Thinned:
    """Thin every file."""
    tally = Thinned()
    for _, directory in file_directories(root):
        FileThinning(root, directory, parse_policy(rules), MOMENT, tally).run()
    return tally


def thin_until_killed(root: Path, countdown: Countdown, rules: str) -> None:
    """For ``kill_at_each_step``: the directory is that of a ``Shelf``."""
    countdown.arm()
    thin(root / "backup", rules)
