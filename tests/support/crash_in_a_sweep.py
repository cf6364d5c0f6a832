"""One pass of the sweeper, killed at the first step that touches the disk, at the second, and so on.

``python -m tests.support.crash_in_a_sweep <directory>``: copies ``<directory>/0`` (blobs and an SQLite database) to
``<directory>/<n>`` and lets a child sweep there that ends with SIGKILL at its n-th step. Prints n of the first child
that got through.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from eventlet import tpool

from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.files.sweeper import Sweeper
from docsave_services.storage import BlobStore
from tests.support.crash_at_each_step import STEPS, STEPS_MAX, Countdown
from tests.support.sweeping import settings_of


def sweeper_of(directory: Path) -> Sweeper:
    """A sweeper for the blobs and the database in ``directory``, with whom condemned blobs do not wait."""
    uri = f"sqlite:///{directory}/docsave.sqlite3"
    sweeper = Sweeper(Transactions(make_engine(uri)), BlobStore(directory / "blobs"), settings_of(directory, uri))
    sweeper.condemned_seconds = 0.0
    return sweeper


def sweep_until_killed(directory: Path, steps: int) -> None:
    """One pass with the countdown in every primitive."""
    sweeper = sweeper_of(directory)
    tpool.execute = lambda function, *args, **kwargs: function(*args, **kwargs)
    countdown = Countdown(steps)
    for name in STEPS:
        setattr(os, name, countdown.before(getattr(os, name)))
    sweeper.sweep(lambda _: None)


def main(directory: Path) -> int:
    """Kill at 1, 2, 3… until a child gets through; its number."""
    for steps in range(1, STEPS_MAX):
        shutil.copytree(directory / "0", directory / str(steps))
        child = os.fork()
        if child == 0:
            sweep_until_killed(directory / str(steps), steps)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if os.waitstatus_to_exitcode(status) != 0:
                sys.exit("the child failed")
            return steps
    sys.exit("no child got through")


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))  # noqa: T201
