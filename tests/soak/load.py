"""32 people and 1,000 sockets for a while, beside a backup that verifies itself: what it costs at the beginning and at
the end. ``python -m tests.soak.load --minutes 60``; figures are printed and kept in ``.soak/load.md``, each sample in
``.soak/load.jsonl``, so that a curve can be seen while it runs, and what the services wrote in ``.soak/load.log``."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from nameko.standalone.rpc import ServiceRpcProxy

from docsave_services.runtime.programs import SERVICES
from tests.faults.attack import Target
from tests.faults.diary import Diary, Outcome, Person, new_person
from tests.faults.load import Worker
from tests.faults.report import STATE
from tests.soak.listeners import Listeners
from tests.support.system import System, running_system
from tests.support.waiting import wait_until

UPLOADERS = 32
SOCKETS = 1000
ACCOUNTS = 8
"""One may have 200 sockets."""

ROUND_SECONDS = 600.0
"""After so long everybody logs in anew and the sockets are opened again: a token lives for 15 minutes."""

SAMPLE_SECONDS = 5.0
STEPS = 10
"""So many moments of the run are shown in the report: memory that levels off is seen by them, one that leaks too."""

QUIET_SECONDS = 300.0

VERIFY_SECONDS = 3600.0
"""After an hour there are 150,000 versions to read again, beside everything else."""


@dataclass
class Sample:
    """What each service holds: memory in MiB and open descriptors; and how long one small upload takes, in seconds."""

    after: float
    memory: dict[str, float] = field(default_factory=dict)
    descriptors: dict[str, int] = field(default_factory=dict)
    behind: int = 0
    answer: float = 0.0


class Measured:
    """A system under load."""

    def __init__(self, system: System, seed: int, people: int, sockets: int) -> None:
        self.system = system
        self.people, self.sockets = people, sockets
        self.target = Target(system)
        self.diary = Diary()
        self.samples: list[Sample] = []
        self.verified = 0
        self.problems: list[str] = []
        self._begun = time.monotonic()
        self._stop = threading.Event()
        self._rng = random.Random(seed)

    def run(self, minutes: float) -> None:
        """Load, and after it the same system at rest."""
        people = [new_person(self.system.base_url, self.diary) for _ in range(ACCOUNTS)]
        end = time.monotonic() + minutes * 60
        threads = [
            threading.Thread(target=self._work, args=(people[n % ACCOUNTS], n), daemon=True) for n in range(self.people)
        ]
        threads.append(threading.Thread(target=self._verify, daemon=True))
        with self._listening(people):
            self.sample(people[0])
        for thread in threads:
            thread.start()
        while time.monotonic() < end:
            for person in people:
                person.log_in()
            with self._listening(people):
                self._watch(people[0], min(end, time.monotonic() + ROUND_SECONDS))
        self._stop.set()
        for thread in threads:
            thread.join(120)
        wait_until(self.target.backup_is_complete, QUIET_SECONDS, 1.0)
        with self._listening(people):
            self.sample(people[0])

    @contextlib.contextmanager
    def _listening(self, people: Sequence[Person]) -> Iterator[None]:
        """Sockets that are told of everything of their account."""
        tokens = [people[n % ACCOUNTS].token for n in range(self.sockets)]
        sockets = Listeners(urlsplit(self.system.socket_url).port or 0, tokens)
        try:
            yield
        finally:
            closed = sockets.close()
            if closed:
                self.problems.append(f"{closed} sockets were closed")

    def _watch(self, person: Person, end: float) -> None:
        while time.monotonic() < end:
            time.sleep(min(SAMPLE_SECONDS, max(0.0, end - time.monotonic())))  # how long it lasts is the task
            self.sample(person)

    def sample(self, person: Person) -> None:
        """Look now."""
        taken = Sample(time.monotonic() - self._begun)
        for service in SERVICES:
            process = Path(f"/proc/{self.system.pid_of(service)}")
            pages = int((process / "statm").read_text().split()[1])
            taken.memory[service] = pages * resource.getpagesize() / 2**20
            taken.descriptors[service] = sum(1 for _ in (process / "fd").iterdir())
        begun = time.monotonic()
        person.upload(requests.Session(), f"sample {begun}".encode(), f"sample-{begun}.txt")
        taken.answer = time.monotonic() - begun
        with ServiceRpcProxy("backup", {"AMQP_URI": self.system.amqp_uri}, timeout=20) as backup:
            taken.behind = int(backup.status()["lag_events"] or 0)
        self.samples.append(taken)
        with (STATE / "load.jsonl").open("a") as kept:
            kept.write(json.dumps(asdict(taken)) + "\n")

    def _work(self, person: Person, number: int) -> None:
        worker = Worker(person, random.Random(self._rng.random()), f"load-{number}")
        while not self._stop.is_set():
            worker.one()

    def _verify(self) -> None:
        with ServiceRpcProxy("backup", {"AMQP_URI": self.system.amqp_uri}, timeout=VERIFY_SECONDS) as backup:
            while not self._stop.is_set():
                found = backup.verify()
                self.verified += 1
                if found["damaged"] or found["missing"]:
                    self.problems.append(f"verify: {found}")
                self._stop.wait(10)

    def report(self) -> str:
        """The figures as a table."""
        first, last = self.samples[0], self.samples[-1]
        lines = [
            f"{self.people} people, {self.sockets} sockets, {last.after / 60:.1f} minutes: "
            + ", ".join(f"{self.diary.count(outcome)} {outcome.value}" for outcome in Outcome)
            + f"; {self.verified} runs of verify; problems: {self.problems or 'none'}",
            "",
            "| service | MiB at the start | highest | at the end | descriptors at the start | highest | at the end |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for name in SERVICES:
            memory = [sample.memory[name] for sample in self.samples]
            open_ones = [sample.descriptors[name] for sample in self.samples]
            lines.append(
                f"| {name} | {memory[0]:.0f} | {max(memory):.0f} | {memory[-1]:.0f} "
                f"| {open_ones[0]} | {max(open_ones)} | {open_ones[-1]} |"
            )
        answers = [sample.answer for sample in self.samples]
        lines += [
            "",
            f"One upload: {first.answer:.2f} s before, {statistics.median(answers):.2f} s under load (median), "
            f"{last.answer:.2f} s after. Backup behind: {first.behind} before, "
            f"{max(sample.behind for sample in self.samples)} at most, {last.behind} after.",
            "",
            *self._curve(),
        ]
        return "\n".join(lines) + "\n"

    def _curve(self) -> list[str]:
        """Memory at some moments of the run, evenly apart."""
        shown = [self.samples[n * (len(self.samples) - 1) // STEPS] for n in range(STEPS + 1)]
        rows = [f"| minute | {' | '.join(f'{sample.after / 60:.1f}' for sample in shown)} |"]
        rows.append("| --- |" + " ---: |" * len(shown))
        for name in SERVICES:
            rows.append(f"| {name} MiB | {' | '.join(f'{sample.memory[name]:.0f}' for sample in shown)} |")
        return rows


def main(arguments: Sequence[str]) -> int:
    """Status 1 when something went wrong that is not a matter of speed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--people", type=int, default=UPLOADERS)
    parser.add_argument("--sockets", type=int, default=SOCKETS)
    asked = parser.parse_args(arguments)
    STATE.mkdir(exist_ok=True)
    (STATE / "load.jsonl").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="docsave-load-") as directory, running_system(Path(directory)) as system:
        measured = Measured(system, asked.seed, asked.people, asked.sockets)
        try:
            measured.run(asked.minutes)
        finally:
            (STATE / "load.log").write_text(system.output())
    text = measured.report()
    (STATE / "load.md").write_text(text)
    print(text)
    return 1 if measured.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
