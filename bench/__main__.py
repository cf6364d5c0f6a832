"""``make bench``: docsave beside a plain monolith, nginx, other Socket.IO servers and other backups, in one table.

``ROUNDS=2 SECONDS=1 make bench ARGS=small`` measures a part of it, quickly, and only prints.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from bench.copies import backup, behind
from bench.history import history
from bench.killed import killed
from bench.large import large_files
from bench.live import notifications
from bench.many import CATCH_UP_SECONDS, fill, fill_monolith, many_files
from bench.onebox import one_box
from bench.parts import memory, starts
from bench.programs import docsave, running_monolith, running_nginx
from bench.rounds import ROUNDS, SECONDS, Row
from bench.small import LISTED, downloads, lists, uploads
from tests.support.programs import ROOT
from tests.support.system import running_system
from tests.support.waiting import wait_until

RESULTS = ROOT / "bench" / "RESULTS.md"
PARTS = ("small", "large", "live", "backup", "many", "start", "history", "onebox", "killed")
ALONE = {"start", "history", "onebox", "killed"}
"""Those that start the programs they need themselves."""


def main() -> None:
    """Measure the parts that are named, or all; all of them also go to ``RESULTS.md``."""
    parts = sys.argv[1:] or PARTS
    print(_HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="docsave-bench-", dir=os.environ.get("BENCH_DIR")) as directory:
        rows = list(_printed(_rows(Path(directory), parts)))
        if tuple(parts) == PARTS:  # before the directory goes: that takes minutes
            RESULTS.write_text(_document(rows), encoding="utf-8")
            print(f"written to {RESULTS.relative_to(ROOT)}")


def _rows(directory: Path, parts: tuple[str, ...] | list[str]) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        if set(parts) - ALONE:
            yield from _beside(stack, directory, parts)
    if "start" in parts:
        yield from starts(directory / "start")
    if "history" in parts:
        yield from history(directory / "history")
    if "onebox" in parts:
        yield from one_box(directory / "onebox")
    if "killed" in parts:
        yield from killed(directory / "killed")


def _beside(stack: contextlib.ExitStack, directory: Path, parts: tuple[str, ...] | list[str]) -> Iterator[Row]:
    system = stack.enter_context(running_system(directory / "docsave"))
    theirs = stack.enter_context(running_monolith(directory / "monolith"))
    limit = stack.enter_context(running_nginx(directory / "nginx"))
    if "live" in parts:
        yield from notifications(system, docsave(system), directory)
    if "backup" in parts:
        yield from backup(system, docsave(system), directory)
    if "large" in parts:
        yield from large_files(docsave(system), theirs, limit, system.pid_of("gateway"))
    if "small" in parts:
        fill(system, docsave(system, "listed"), LISTED)
        fill_monolith(directory / "monolith", theirs)
        wait_until(lambda: behind(system) == 0, CATCH_UP_SECONDS, interval=2)
        yield from uploads(docsave(system), theirs, limit)
        yield from downloads(docsave(system), theirs)
        yield from lists(docsave(system, "listed"), theirs)
    if "many" in parts:
        yield from many_files(system)
    yield memory(system, theirs)


def _printed(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        print(row.line, flush=True)
        yield row


_HEAD = "| metric | target | measured | met |\n| --- | --- | --- | --- |"


def _document(rows: list[Row]) -> str:
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    programs = {
        "nginx": ["nginx", "-v"],
        "node": ["node", "--version"],
        "restic": ["restic", "version"],
        "borg": ["borg", "--version"],
    }
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {version(name)}" for name in ("nameko", "eventlet", "fastapi", "uvicorn", "python-socketio")]
    versions += [f"{name} {found}" for name, found in ((n, _version(c)) for n, c in programs.items()) if found]
    load = os.getloadavg()[2]
    return "\n".join(
        [
            "# What `make bench` measured",
            "",
            f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores "
            f"({cpu[1] if cpu else platform.machine()}), {memory_gib:.0f} GiB, Linux {platform.release()}, "
            f"load {load:.1f} in the last 15 minutes. {ROUNDS} rounds, {SECONDS:g} s for each rate.",
            "",
            "Versions: " + ", ".join(versions) + ".",
            "",
            "Programs are measured in turn within each round. A ratio is the median of the rounds' ratios; seconds and "
            "rates are this machine's and mean little alone.",
            "",
            _HEAD,
            *(row.line for row in rows),
            "",
        ]
    )


def _version(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    match = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return match[0] if match else ""


if __name__ == "__main__":
    main()
