"""Finding and ending processes of one data directory, by a mark in their environment (Linux's /proc)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

MARK = "DOCSAVE_SUPERVISED"
"""Every process that ``make run`` starts carries its data directory under this name, and so do their children."""

_PROGRAM = "SUPERVISOR_PROCESS_NAME"


def of_data_dir(data_dir: Path) -> dict[int, str]:
    """Process id and program's name of everything that runs for ``data_dir``, this process aside."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        variables = _environment_of(entry)
        if variables.get(MARK) == str(data_dir) and pid != os.getpid() and not _is_zombie(entry):
            found[pid] = variables.get(_PROGRAM, "supervisord")
    return found


def end_all(data_dir: Path, seconds: float) -> int:
    """End everything that still runs for ``data_dir``: ask first, force after ``seconds``. How many there were."""
    left = of_data_dir(data_dir)
    count = len(left)
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = of_data_dir(data_dir)
    return count


def _environment_of(entry: Path) -> dict[str, str]:
    try:
        content = (entry / "environ").read_bytes()
    except OSError:
        return {}  # ended meanwhile, or somebody else's
    pairs = (item.partition(b"=") for item in content.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def _is_zombie(entry: Path) -> bool:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return True
