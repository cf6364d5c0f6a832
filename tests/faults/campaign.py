"""Attacks one after the other on systems that are started for them, in one process or in several side by side."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tests.faults import report
from tests.faults.attack import Attack
from tests.faults.catalogue.fault import PORTION, Fault, Place
from tests.faults.catalogue.stages import open_stage
from tests.faults.diary import Outcome
from tests.faults.report import STATE, Result
from tests.support.mariadb import MariaDb

SYSTEM_LIVES = 6
"""So many attacks one system takes, one after the other; on a small disk each begins with an empty one."""

LOG_CHARACTERS = 200_000
"""So much of the end of a system's log is kept with a violation."""

Task = tuple[Fault, str, int]


def key_of(task: Task) -> report.Key:
    """What its result is known by."""
    return task[0].name, task[1], task[2]


def name_of(task: Task) -> str:
    """What its files are called."""
    return "-".join(map(str, key_of(task)))


def ordered(tasks: Iterable[Task]) -> list[Task]:
    """Every fault once before any twice, and together what is done to systems of the same kind."""
    return sorted(tasks, key=lambda task: (task[2], task[0].stage, task[1]))


class Campaign:
    """Systems one after the other, each attacked several times."""

    def __init__(self, path: Path, deadline: float, claims: Path, tell: Callable[[str], None]) -> None:
        """``path`` is the file for results; all processes that take turns at the same attacks share the directory
        ``claims``; ``tell`` is told of each result."""
        self._path = path
        self._deadline = deadline
        self._claims = claims
        self._tell = tell
        self._root = Path(tempfile.mkdtemp(prefix="docsave-soak-"))
        self._mariadb: MariaDb | None = None
        self._numbers = itertools.count()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        if self._mariadb is not None:
            self._mariadb.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def run(self, tasks: Sequence[Task]) -> None:
        """Attack after attack until the deadline."""
        for (stage, database), group in itertools.groupby(tasks, lambda task: (task[0].stage, task[1])):
            lives = 1 if stage == "small disks" else SYSTEM_LIVES
            open_to_all = list(group)
            while left := list(itertools.islice(filter(self.claimed, open_to_all), lives)):
                while left and time.monotonic() < self._deadline:
                    left = self._attack_on_a_new_system(stage, database, left)
                if time.monotonic() >= self._deadline:
                    return

    def claimed(self, task: Task) -> bool:
        """Whether nobody else makes this attack, and nobody else will."""
        try:
            (self._claims / name_of(task)).open("x").close()
        except FileExistsError:
            return False
        return True

    def _attack_on_a_new_system(self, stage: str, database: str, tasks: list[Task]) -> list[Task]:
        """What is left of ``tasks``."""
        last, left = tasks[0], tasks[1:]
        try:
            with self._place(stage, database) as place:
                for number, task in enumerate(tasks, 1):
                    last, left = task, tasks[number:]
                    result = self._attack(place, task)
                    self._keep(result)
                    if result.violations:
                        _keep_log(task, place.target.system.output())
                    if result.violations or time.monotonic() >= self._deadline:
                        break  # after a violation what follows would only repeat it
        except (AssertionError, OSError):  # what it was to be made on did not start, or did not end
            self._keep(Result(*key_of(last), violations=[traceback.format_exc(limit=-3)]))
        return left

    def _keep(self, result: Result) -> None:
        report.append(self._path, result)
        self._tell(report.line(result))

    def _attack(self, place: Place, task: Task) -> Result:
        fault, database, seed = task
        result = Result(fault.name, database, seed)
        begun = time.monotonic()
        attack = Attack(place.target, f"{fault.name}:{database}:{seed}", STATE / name_of(task), fault.excused)
        place.rng = attack.rng
        try:
            struck = fault.strike(place, attack)
            result.violations += struck.found
            result.recovery = round(struck.recovery, 1)
            result.uncertain = round(attack.work_undisturbed(PORTION // 2), 1)
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


def _keep_log(task: Task, text: str) -> None:
    directory = STATE / name_of(task)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "system.log").write_text(text[-LOG_CHARACTERS:])
