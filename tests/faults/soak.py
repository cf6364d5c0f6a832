"""Every fault of the catalogue with several seeds on both databases, for hours if need be: see ``--help``.

What is finished is kept in a file, so that a run that was broken off goes on where it was; violations are tried again.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()  # before anything imports socket or threading; noqa: E402 below follows from it

import argparse  # noqa: E402
import contextlib  # noqa: E402
import fnmatch  # noqa: E402
import functools  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from types import FrameType  # noqa: E402

from tests.faults import report  # noqa: E402
from tests.faults.campaign import Campaign, Task, key_of, ordered  # noqa: E402
from tests.faults.catalogue import ALL, QUICK  # noqa: E402
from tests.faults.report import STATE  # noqa: E402


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for and not yet finished; the exit status is 1 when anything was violated."""
    asked = _parser().parse_args(arguments)
    tasks = _tasks(asked)
    path = STATE / ("quick.jsonl" if asked.quick else "results.jsonl")
    known = {} if asked.again else report.load(path)
    left = [task for task in tasks if key_of(task) not in known or known[key_of(task)].violations]
    deadline = time.monotonic() + asked.minutes * 60
    signal.signal(signal.SIGTERM, _end)
    if asked.claims is not None:
        with contextlib.suppress(KeyboardInterrupt):
            _take_turns(path, deadline, asked.claims, left)
        return 0
    print(f"{len(tasks)} attacks, {len(tasks) - len(left)} of them finished before", flush=True)
    with (
        contextlib.suppress(KeyboardInterrupt),  # what is finished is shown
        tempfile.TemporaryDirectory(prefix="docsave-claims-") as claims,
        _others(asked.jobs - 1, arguments, claims),
    ):
        _take_turns(path, deadline, Path(claims), left)
    return _conclude(path, {key_of(task) for task in tasks})


def _take_turns(path: Path, deadline: float, claims: Path, tasks: Sequence[Task]) -> None:
    """Make those of ``tasks`` that no other process makes."""
    with Campaign(path, deadline, claims, tell=functools.partial(print, flush=True)) as campaign:
        campaign.run(tasks)


@contextlib.contextmanager
def _others(count: int, arguments: Sequence[str], claims: str) -> Iterator[None]:
    """``count`` more processes that take turns; when this is left they have ended, in order where it is broken off."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults.soak", *arguments, "--claims", claims]
    others = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
        for other in others:
            other.wait()
    finally:
        for other in others:
            other.terminate()
        for other in others:
            other.wait()


def _conclude(path: Path, wanted: set[report.Key]) -> int:
    """Write the report; the exit status."""
    results = [result for key, result in report.load(path).items() if key in wanted]
    text = report.table(results)
    (STATE / "report.md").write_text(text)
    print(text)
    missing = len(wanted) - len(results)
    if missing:
        print(f"{missing} attacks are left: the same command goes on with them")
    return 1 if any(result.violations for result in results) else 0


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--fault", default="*", help="names, with * and ?, separated by commas")
    parser.add_argument("--database", default="sqlite,mariadb")
    parser.add_argument("--seeds", default="1 2 3")
    parser.add_argument("--minutes", type=float, default=24 * 60, help="nothing new is begun after so long")
    parser.add_argument("--quick", action="store_true", help="a selection of ten minutes")
    parser.add_argument("--jobs", type=int, default=1, help="so many systems are attacked at the same time")
    parser.add_argument("--claims", type=Path, help=argparse.SUPPRESS)  # given to the other jobs
    parser.add_argument("--again", action="store_true", help="also what was finished before")
    return parser


def _tasks(asked: argparse.Namespace) -> list[Task]:
    patterns = asked.fault.split(",")
    databases = asked.database.split(",")
    seeds = [int(seed) for seed in asked.seeds.replace(",", " ").split()]
    chosen = [fault for fault in ALL.values() if any(fnmatch.fnmatch(fault.name, one) for one in patterns)]
    return ordered(
        (fault, database, seed)
        for fault in chosen
        for database in fault.databases
        for seed in seeds
        if database in databases and (not asked.quick or (fault.name, database) in QUICK)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
