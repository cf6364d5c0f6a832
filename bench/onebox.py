"""The same handlers as services, as one process that still calls itself through the broker, and as one process without.

Beside them the plain monolith. All four at once on the machine, loaded in turn; what a load costs is counted until its
copies are in the backup, so that no program gets away with work left for later.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import requests

from bench import wire
from bench.cost import family, megabytes, processor_times, resident_megabytes, spent
from bench.listeners import Listeners
from bench.programs import Server, log_in, new_user, running_monolith
from bench.rounds import SECONDS, Row, in_turn, median, ratio
from bench.small import path_of_new_file, upload
from docsave_services.runtime.processes import MARK
from tests.support.rabbitmq import Broker
from tests.support.system import System, running_system
from tests.support.waiting import wait_until

UPLOADS_AT_ONCE = (1, 8, 32)
READS_AT_ONCE = 16
LISTED = 200
SOCKETS = 200
CATCH_UP_SECONDS = 120.0


class OneProcess(System):
    """docsave as ``bench.one_process`` runs it."""

    command: ClassVar = [sys.executable, "-m", "bench.one_process"]

    def __init__(self, directory: Path, amqp_uri: str = "") -> None:
        super().__init__(directory, {"PYTHONWARNINGS": "ignore", "DOCSAVE_AMQP_URI": amqp_uri})
        self.env[MARK] = str(self.data_dir)  # what it leaves behind is found


@dataclass(slots=True)
class Variant:
    """One of the programs; ``system`` is None for the plain monolith, which copies nothing."""

    name: str
    server: Server
    pids: Callable[[], list[int]]
    system: System | None = None
    admin: str = ""

    def settle(self) -> None:
        """Wait until every version is copied."""
        if self.system is not None:
            wait_until(lambda: self._behind() == 0, CATCH_UP_SECONDS, interval=0.2)

    def log_in(self) -> None:
        """New tokens: they last for a quarter of an hour."""
        if self.system is not None:
            self.server.token = new_user(self.system, "bench")
            self.admin = log_in(self.system, self.system.admin_login, self.system.admin_password)

    def _behind(self) -> int:
        assert self.system is not None
        headers = {"Authorization": f"Bearer {self.admin}"}
        answer = requests.get(f"{self.system.base_url}/backup", headers=headers, timeout=30)
        answer.raise_for_status()
        return int(answer.json()["lag_events"] or 0)


@dataclass(slots=True)
class Taken:
    """What each round of one load found for one variant."""

    rates: list[float] = field(default_factory=list)
    middles: list[float] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


def one_box(directory: Path) -> Iterator[Row]:
    """All rows of the comparison."""
    with running_variants(directory) as variants:
        yield Row("columns", "", " : ".join(variant.name for variant in variants))
        for at_once in UPLOADS_AT_ONCE:
            yield from _loaded(variants, f"uploads of 20 KB, {at_once} at once", at_once, _uploads)
        yield from _loaded(variants, f"downloads of 20 KB, {READS_AT_ONCE} at once", READS_AT_ONCE, _downloads)
        yield from _loaded(variants, f"lists of 100 of {LISTED}, {READS_AT_ONCE} at once", READS_AT_ONCE, _lists)
        yield from _with_a_crowd([variants[0], variants[2]])
        yield _memory(variants)
    yield _starts(directory)


@contextlib.contextmanager
def running_variants(directory: Path) -> Iterator[list[Variant]]:
    """Services, one process through a broker, one process, plain monolith."""
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        broker = Broker(directory / "broker")
        stack.callback(broker.stop)
        broker.start()
        services = stack.enter_context(running_system(directory / "services"))
        through_broker = stack.enter_context(running(OneProcess(directory / "brokered", broker.amqp_uri)))
        one = stack.enter_context(running(OneProcess(directory / "one")))
        plain = stack.enter_context(running_monolith(directory / "monolith"))
        yield [
            _variant("services", services, lambda: family(services.front_pid)),
            _variant(
                "one process through RabbitMQ",
                through_broker,
                lambda: [pid for first in (through_broker.front_pid, *broker.pids()) for pid in family(first)],
            ),
            _variant("one process", one, lambda: family(one.front_pid)),
            Variant("plain monolith", plain, lambda: family(plain.pids[0])),
        ]


@contextlib.contextmanager
def running(system: System) -> Iterator[System]:
    """A system that is ready, ended with the block."""
    try:
        system.start()
        system.wait_ready()
        yield system
    finally:
        system.stop()


def _variant(name: str, system: System, pids: Callable[[], list[int]]) -> Variant:
    server = Server(name, int(system.base_url.rpartition(":")[2]), "", [system.front_pid])
    return Variant(name, server, pids, system)


def _uploads(variant: Variant) -> Callable[[], bytes]:
    return partial(upload, variant.server)


def _downloads(variant: Variant) -> Callable[[], bytes]:
    get = wire.request("GET", path_of_new_file(variant.server), variant.server.token)
    return lambda: get


def _lists(variant: Variant) -> Callable[[], bytes]:
    token = variant.server.token if variant.system is None else new_user(variant.system, "listed")
    server = Server(variant.name, variant.server.port, token, variant.server.pids)
    for _ in range(LISTED):
        wire.once(server.port, upload(server))
    get = wire.request("GET", "/files?limit=100", token)
    return lambda: get


def _loaded(
    variants: list[Variant], metric: str, at_once: int, requests_of: Callable[[Variant], Callable[[], bytes]]
) -> list[Row]:
    taken = [Taken() for _ in variants]
    for variant in variants:
        variant.log_in()
    makes = [requests_of(variant) for variant in variants]
    in_turn(*(partial(_measure, *each, at_once) for each in zip(variants, makes, taken, strict=True)))
    one = [variant.name for variant in variants].index("one process")
    rates, costs = [each.rates for each in taken], [each.costs for each in taken]
    ratios = f"services to one process {ratio(rates[0], rates[one]):.2f}"
    return [
        Row(metric, "", f"{_each(rates)} a second ({ratios})"),
        Row("their median and p99", "", f"{_each([t.middles for t in taken])}; {_each([t.slow for t in taken])} ms"),
        Row(
            "processor time of each, with its copy and news",
            "",
            f"{_each(costs)} ms ({ratio(costs[0], costs[one]):.2f})",
        ),
    ]


def _measure(variant: Variant, make: Callable[[], bytes], taken: Taken, at_once: int) -> float:
    variant.settle()
    before = processor_times(variant.pids())
    load = wire.load(variant.server.port, at_once, SECONDS, make)
    variant.settle()
    answers = len(load.took)
    taken.costs.append(spent(before, processor_times(variant.pids())) * 1000 / answers)
    taken.rates.append(load.rate)
    taken.middles.append(load.took[answers // 2])
    taken.slow.append(load.p99)
    return load.rate


def _each(figures: list[list[float]]) -> str:
    return " : ".join(map(median, figures))


def _with_a_crowd(variants: list[Variant]) -> Iterator[Row]:
    """What one busy part does to the others: each upload is told to as many sockets of administrators."""
    with contextlib.ExitStack() as stack:
        for variant in variants:
            variant.log_in()
            assert variant.system is not None
            port = int(variant.system.socket_url.rpartition(":")[2])
            stack.callback(Listeners(port, [variant.admin] * SOCKETS, "Admin_connect").close)
        metric = f"uploads of 20 KB, 8 at once, each heard by {SOCKETS} sockets: services, one process"
        yield from _loaded(variants, metric, 8, _uploads)


def _memory(variants: list[Variant]) -> Row:
    shared = " : ".join(f"{megabytes(variant.pids()):.0f}" for variant in variants)
    resident = " : ".join(f"{resident_megabytes(variant.pids()):.0f}" for variant in variants)
    return Row("memory after the loads", "", f"{shared} MB (resident sets, shared pages counted often: {resident})")


def _starts(directory: Path) -> Row:
    """From the command to an answer of ``/health/ready`` (the monolith: to its port), with everything in place. The
    processor time is that of a start and a stop, which a busy machine does not change much."""
    systems = [System(directory / "services"), OneProcess(directory / "one")]
    rounds = itertools.count()
    costs: list[list[float]] = [[], [], []]

    def start(program: Callable[[], contextlib.AbstractContextManager[object]], costs: list[float]) -> float:
        used, began = _of_children(), time.monotonic()
        with program():
            took = time.monotonic() - began
        costs.append(_of_children() - used)
        return took

    programs = [
        *(partial(running, system) for system in systems),
        lambda: running_monolith(directory / f"monolith-{next(rounds)}"),
    ]
    found = in_turn(*(partial(start, *each) for each in zip(programs, costs, strict=True)))
    each = " : ".join(f"{statistics.median(took):.1f}" for took in found)
    metric = "start, with everything in place: services, one process, plain monolith"
    return Row(metric, "", f"{each} s; processor time of start and stop {_each(costs)} s")


def _of_children() -> float:
    """Processor seconds of programs that were started by this one and have ended, with all that they had started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
