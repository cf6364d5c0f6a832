"""Every fault of the catalogue with several seeds on both databases, for hours if need be: see ``--help``.

What is finished is kept in a file, so that a run that was broken off goes on where it was; violations are tried again.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()  # before anything imports socket or threading; noqa: E402 below follows from it

import argparse  # noqa: E402
import contextlib  # noqa: E402
import fnmatch  # noqa: E402
import itertools  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Iterator, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from types import FrameType  # noqa: E402

from tests.faults import report  # noqa: E402
from tests.faults.attack import Attack  # noqa: E402
from tests.faults.catalogue import ALL, QUICK  # noqa: E402
from tests.faults.catalogue.fault import PORTION, Fault, Place  # noqa: E402
from tests.faults.catalogue.stages import open_stage  # noqa: E402
from tests.faults.diary import Outcome  # noqa: E402
from tests.faults.report import STATE, Result  # noqa: E402
from tests.support.mariadb import MariaDb  # noqa: E402

SYSTEM_LIVES = 6
"""So many attacks one system takes, one after the other; on a small disk each begins with an empty one."""

SHOWN_CHARACTERS = 1500

Task = tuple[Fault, str, int]


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for and not yet finished; the exit status is 1 when anything was violated."""
    asked = _parser().parse_args(arguments)
    tasks = _tasks(asked)
    path = STATE / ("quick.jsonl" if asked.quick else "results.jsonl")
    known = {} if asked.again else report.load(path)
    left = [task for task in tasks if _key(task) not in known or known[_key(task)].violations]
    print(f"{len(tasks)} attacks, {len(tasks) - len(left)} of them finished before", flush=True)
    deadline = time.monotonic() + asked.minutes * 60
    signal.signal(signal.SIGTERM, _end)
    with Soak(path, deadline) as soak:
        soak.run(left)
    wanted = {_key(task) for task in tasks}
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
    parser.add_argument("--again", action="store_true", help="also what was finished before")
    return parser


def _tasks(asked: argparse.Namespace) -> list[Task]:
    patterns = asked.fault.split(",")
    databases = asked.database.split(",")
    seeds = [int(seed) for seed in asked.seeds.replace(",", " ").split()]
    chosen = [fault for fault in ALL.values() if any(fnmatch.fnmatch(fault.name, one) for one in patterns)]
    tasks = [
        (fault, database, seed)
        for fault in chosen
        for database in fault.databases
        for seed in seeds
        if database in databases and (not asked.quick or (fault.name, database) in QUICK)
    ]
    return sorted(tasks, key=lambda task: (task[0].stage, task[1], task[2]))


def _key(task: Task) -> report.Key:
    return task[0].name, task[1], task[2]


class Soak:
    """Systems one after the other, each attacked several times."""

    def __init__(self, path: Path, deadline: float) -> None:
        self._path = path
        self._deadline = deadline
        self._root = Path(tempfile.mkdtemp(prefix="docsave-soak-"))
        self._mariadb: MariaDb | None = None
        self._numbers = itertools.count()

    def __enter__(self) -> Soak:
        return self

    def __exit__(self, *_: object) -> None:
        if self._mariadb is not None:
            self._mariadb.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def run(self, tasks: Sequence[Task]) -> None:
        """Attack after attack until the deadline."""
        for (stage, database), group in itertools.groupby(tasks, lambda task: (task[0].stage, task[1])):
            left = list(group)
            while left and time.monotonic() < self._deadline:
                try:
                    with self._place(stage, database) as place:
                        left = self._attack_while_it_lives(place, left, 1 if stage == "small disks" else SYSTEM_LIVES)
                except (AssertionError, OSError):  # what it was to be made on did not start, or did not end
                    result = Result(*_key(left[0]), violations=[traceback.format_exc(limit=-3)])
                    left = left[1:]
                    report.append(self._path, result)
                    print(_line(result), flush=True)

    def _attack_while_it_lives(self, place: Place, tasks: list[Task], lives: int) -> list[Task]:
        """What is left of ``tasks``: after a violation what follows would only repeat it."""
        for done, task in enumerate(tasks[:lives], 1):
            result = self._attack(place, task)
            report.append(self._path, result)
            print(_line(result), flush=True)
            if result.violations:
                kept = STATE / f"{result.fault}-{result.database}-{result.seed}.log"
                kept.write_text(place.target.system.output()[-200_000:])
            if result.violations or time.monotonic() >= self._deadline:
                return tasks[done:]
        return tasks[lives:]

    def _attack(self, place: Place, task: Task) -> Result:
        fault, database, seed = task
        result = Result(fault.name, database, seed)
        begun = time.monotonic()
        attack = Attack(place.target, f"{fault.name}:{database}:{seed}", STATE, fault.excused)
        place.rng = attack.rng
        try:
            struck = fault.strike(place, attack)
            result.violations += struck.found
            result.recovery = round(struck.recovery, 1)
            attack.work_undisturbed(PORTION // 2)
            attack.assert_nothing_lost()
        except AssertionError as exc:
            result.violations.append(str(exc) or traceback.format_exc(limit=-3))
        except Exception:
            result.violations.append(traceback.format_exc(limit=-4))
        finally:
            attack.close()
        result.acknowledged, result.rejected, result.unknown = (attack.diary.count(outcome) for outcome in Outcome)
        result.seconds = round(time.monotonic() - begun, 1)
        return result

    @contextlib.contextmanager
    def _place(self, stage: str, database: str) -> Iterator[Place]:
        directory = self._root / str(next(self._numbers))
        directory.mkdir()
        with open_stage(stage, database, directory, self._server) as place:
            yield place
        shutil.rmtree(directory, ignore_errors=True)

    def _server(self) -> MariaDb:
        if self._mariadb is None:
            self._mariadb = MariaDb(self._root / "mariadb")
            self._mariadb.install()
            self._mariadb.start()
        return self._mariadb


def _line(result: Result) -> str:
    verdict = (
        "well"
        if not result.violations
        else f"VIOLATED, repeat with: {result.command}\n  " + "\n  ".join(result.violations)
    )
    counts = f"{result.acknowledged} acknowledged, {result.rejected} rejected, {result.unknown} unknown"
    return f"{result.fault} {result.database} {result.seed}: {counts}, {result.seconds:.0f} s: {verdict}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
