"""What it costs to be many processes: the time to start, and the memory of all parts together."""

from __future__ import annotations

import time
from pathlib import Path

from bench.cost import megabytes
from bench.programs import SERVICES, Server, running_monolith, with_children
from bench.rounds import ROUNDS, Row, at_most, median
from tests.support.system import System


def starts(directory: Path) -> list[Row]:
    """``make run`` to ready with everything in place, and the monolith's start."""
    ours, theirs = [], []
    system = System(directory / "again")
    for round_ in range(ROUNDS + 1):
        began = time.monotonic()
        try:
            system.start()
            system.wait_ready()
            ours.append(time.monotonic() - began)
        finally:
            system.stop()
        began = time.monotonic()
        with running_monolith(directory / f"monolith{round_}"):
            theirs.append(time.monotonic() - began)
    middle = sorted(ours[1:])[ROUNDS // 2]
    detail = f"the first time {ours[0]:.1f} s; the monolith {median(theirs)} s"
    return [at_most("`make run` to ready, the second time", 10, middle, detail, "s")]


def memory(system: System, theirs: Server) -> Row:
    """Proportional set sizes: pages that processes share count once."""
    parts = dict.fromkeys((*SERVICES, "broker"), 0.0)
    for pid, name in system.processes().items():
        if name in parts:
            parts[name] += megabytes([pid])
    each = ", ".join(f"{name} {size:.0f}" for name, size in sorted(parts.items()))
    other = sum(megabytes(with_children(each)) for each in theirs.pids)
    return Row(
        "memory of all parts after the loads", "", f"{sum(parts.values()):.0f} MB ({each}); monolith {other:.0f} MB"
    )
