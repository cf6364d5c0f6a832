"""Programs that stand still: they are there, hold their connections, and nothing of them moves."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.support.waiting import wait_until

STILL_SECONDS = 30.0
"""A thread in a write to the disk stops only when that is done."""

MOVING = frozenset("RSDW")


def hold_still(pid: int) -> None:
    """Stop the process with SIGSTOP and return when each of its threads has stopped.

    The signal alone promises nothing yet: a thread on another processor goes on until the kernel interrupts it, and
    a database answered one query more in 5 of 200 attempts.
    """
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: not _moves(pid), STILL_SECONDS, 0.001)


@contextlib.contextmanager
def held_still(group: int) -> Iterator[None]:
    """Hold all processes of a group still for the length of the block."""
    os.killpg(group, signal.SIGSTOP)
    try:
        wait_until(lambda: not any(_moves(pid) for pid in _members(group)), STILL_SECONDS, 0.001)
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def _members(group: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if _group_of(pid) == group]


def _group_of(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None


def _moves(pid: int) -> bool:
    return any(_state(thread) in MOVING for thread in Path(f"/proc/{pid}/task").glob("*"))


def _state(thread: Path) -> str:
    """The kernel's letter, ``T`` for stopped (``proc_pid_stat(5)``); empty for a thread that has ended meanwhile."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    return ""
