"""Runs one piece of work again and again, killed at its first step that touches the disk, at the second, and so on.

``python -m tests.support.crashing <directory> <module>:<function> <every> [argument]…``: copies ``<directory>/0``
(the state before, hard links kept) to ``<directory>/<n>`` and lets a child call
``function(<that>, countdown, *arguments)`` that ends with SIGKILL at its n-th step after ``countdown.arm()``. Prints n
of the first child that got through.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.programs import ROOT

STEPS_MAX = 400
CHANGES = ("fsync", "link", "rename", "replace", "mkdir", "rmdir", "chmod", "fchmod", "utime", "unlink", "ftruncate")
WRITES = {"write": 1, "pwrite": 1}
"""Functions of ``os`` that write, and which of their arguments are the bytes."""


class Countdown:
    """Kills this process when it has been asked ``steps`` times."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> bool:
        """One step less; whether the next is the last."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.left == 1

    def arm(self) -> None:
        """From now on every change of the disk is a step, and a write before the last one writes only half."""
        for name in CHANGES:
            setattr(os, name, self._before(getattr(os, name)))
        for name, place in WRITES.items():
            setattr(os, name, self._torn(getattr(os, name), place))
        torn = self._torn(io.FileIO.write, 1)
        io.FileIO = type("Torn", (io.FileIO,), {"write": lambda file, piece: torn(file, piece)})  # type: ignore[misc]

    def _before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step()
            return function(*args, **kwargs)

        return counted

    def _torn(self, function: Callable[..., Any], place: int) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            if self.step():
                function(*args[:place], args[place][: len(args[place]) // 2], *args[place + 1 :])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args)

        return counted


def kill_at_each_step(directory: Path, work: Callable[..., None], *arguments: str, every: int = 1) -> int:
    """Run this program; how many steps there were. ``work`` is a function of a module below ``tests.support``; of long
    work only one step in ``every`` is its last."""
    command = [sys.executable, "-W", "ignore", "-m", __name__, str(directory), f"{work.__module__}:{work.__name__}"]
    done = subprocess.run(
        [*command, str(every), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def main(directory: Path, work: str, every: str, *arguments: str) -> int:
    """Kill at 1, 2, 3… until a child gets through; its number."""
    module, _, name = work.partition(":")
    function = getattr(importlib.import_module(module), name)
    for steps in range(1, STEPS_MAX, int(every)):
        root = directory / str(steps)
        subprocess.run(["cp", "-a", directory / "0", root], check=True)
        child = os.fork()
        if child == 0:
            function(root, Countdown(steps), *arguments)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if os.waitstatus_to_exitcode(status) != 0:
                sys.exit("the child failed")
            return steps
    sys.exit("no child got through")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), *sys.argv[2:]))  # noqa: T201
