"""A rebuild that is killed at one of its steps on the disk; SQLite's own are attacked by its makers."""

from __future__ import annotations

from pathlib import Path

from backup.rebuild import Rebuild, Rebuilt
from docsave_services.runtime.refounding import Ground
from tests.support.crashing import Countdown


def rebuild_in(place: Path, countdown: Countdown | None = None) -> Rebuilt:
    """Rebuild ``backup`` in ``place`` into the data directory and the database beside it."""
    with Ground(f"sqlite:///{place}/new.sqlite3") as ground:
        if countdown:
            countdown.arm()
        return Rebuild(place / "backup", place / "data", ground).run(lambda: None)


def rebuild_until_killed(place: Path, countdown: Countdown) -> None:
    """``rebuild_in`` for ``kill_at_each_step``."""
    rebuild_in(place, countdown)
