"""Writes one entry, its line in the chain and the place again and again, killed at the first step that touches the
disk, at the second, and so on.

``python -m tests.support.crash_at_each_step <directory> <event.json> <blobs> <links 0|1>``: copies ``<directory>/0``
(the state before) to ``<directory>/<n>`` and lets a child write there that ends with SIGKILL at its n-th step. Prints
n of the first child that got through.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backup.content
from backup.history import History
from docsave_services.storage import BlobStore
from tests.support.chained import back_up_event

STEPS = ("fsync", "link", "rename", "replace", "mkdir", "fchmod", "unlink", "ftruncate")
STEPS_MAX = 200


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

    def torn(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function(fd, bytes, place)``, which writes only half of them before a kill."""

        def counted(fd: int, text: Any, place: int) -> Any:
            if self.step():
                function(fd, text[: len(text) // 2], place)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(fd, text, place)

        return counted

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` with a step before it."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step()
            return function(*args, **kwargs)

        return counted


def write_until_killed(root: Path, event: Any, blobs: BlobStore, links: bool, steps: int) -> None:
    """Write the entry with the countdown in every primitive; half a piece is written before a kill in ``write``."""
    countdown = Countdown(steps)

    class Torn(io.FileIO):
        def write(self, piece: Any) -> int:
            if countdown.step():
                super().write(piece[: len(piece) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return super().write(piece)

    if not links:
        os.link = _no_link
    for name in STEPS:
        setattr(os, name, countdown.before(getattr(os, name)))
    os.pwrite = countdown.torn(os.pwrite)
    backup.content.io.FileIO = Torn  # type: ignore[attr-defined,misc]
    back_up_event(root, event, History(root, blobs))


def _no_link(*_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def main(directory: Path, event_file: Path, blob_dir: Path, links: bool) -> int:
    """Kill at 1, 2, 3… until a child gets through; its number."""
    event, blobs = json.loads(event_file.read_text()), BlobStore(blob_dir)
    for steps in range(1, STEPS_MAX):
        root = directory / str(steps)
        shutil.copytree(directory / "0", root)
        child = os.fork()
        if child == 0:
            write_until_killed(root, event, blobs, links, steps)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if os.waitstatus_to_exitcode(status) != 0:
                sys.exit("the child failed")
            return steps
    sys.exit("no child got through")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "1"))  # noqa: T201
