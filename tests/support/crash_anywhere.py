"""Runs one piece of work again and again, killed at the first step that touches the disk, at the second, and so on.

``python -m tests.support.crash_anywhere <directory> <work> [argument]``: copies ``<directory>/0`` (the state before,
hard links kept) to ``<directory>/<n>`` and lets a child do the work there that ends with SIGKILL at its n-th step.
Prints n of the first child that got through.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backup.catalogue import file_directories
from backup.compact import FileCompaction, Tally, age_limit
from tests.support.crash_at_each_step import STEPS, Countdown

STEPS_MAX = 400


def compact_all(root: Path, _: str = "") -> None:
    """Make patches of all older versions, whatever their age."""
    for _, directory in file_directories(root):
        FileCompaction(root, directory, age_limit(0), Tally()).run()


WORK: dict[str, Callable[[Path, str], None]] = {"compact": compact_all}


def _until_killed(work: Callable[[Path, str], None], root: Path, argument: str, steps: int) -> None:
    countdown = Countdown(steps)

    class Torn(io.FileIO):
        def write(self, piece: Any) -> int:
            if countdown.step():
                super().write(piece[: len(piece) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return super().write(piece)

    for name in STEPS:
        setattr(os, name, countdown.before(getattr(os, name)))
    io.FileIO = Torn  # type: ignore[misc]
    work(root, argument)


def main(directory: Path, work: str, argument: str = "") -> int:
    """Kill at 1, 2, 3… until a child gets through; its number."""
    for steps in range(1, STEPS_MAX):
        root = directory / str(steps)
        subprocess.run(["cp", "-a", directory / "0", root], check=True)
        child = os.fork()
        if child == 0:
            _until_killed(WORK[work], root, argument, steps)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if os.waitstatus_to_exitcode(status) != 0:
                sys.exit("the child failed")
            return steps
    sys.exit("no child got through")


def kill_at_each_step(directory: Path, work: str, argument: str = "") -> int:
    """Run this program; how many steps there were."""
    command = [sys.executable, "-m", "tests.support.crash_anywhere", str(directory), work, argument]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), *sys.argv[2:]))  # noqa: T201
