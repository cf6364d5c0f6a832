"""What a program costs the machine, with all processes it is made of: processor time and memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found


def processor_times(pids: Iterable[int]) -> dict[int, float]:
    """Seconds that these processes have used so far, their own and for them in the kernel; one that ended has none."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found[pid] = _ticks(pid) / _TICKS
    return found


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    """Seconds used between two ``processor_times``. Those who came between count, what one used that ended does not."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def megabytes(pids: Iterable[int]) -> float:
    """Proportional set sizes: pages that processes share count once."""
    return sum(_proportional(pid) for pid in pids) / 1000


def resident_megabytes(pids: Iterable[int]) -> float:
    """Resident set sizes: shared pages count in each process that has them."""
    return sum(_kilobytes(pid, "status", "VmRSS:") for pid in pids) / 1000


def _proportional(pid: int) -> int:
    return _kilobytes(pid, "smaps_rollup", "Pss:")


def _kilobytes(pid: int, file: str, field: str) -> int:
    return int(Path(f"/proc/{pid}/{file}").read_text().partition(field)[2].split()[0])


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
