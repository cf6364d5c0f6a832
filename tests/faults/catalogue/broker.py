"""RabbitMQ dies, stays away, forgets everything, takes nothing, or lies behind a bad line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import eventlet

from docsave_services.runtime.broker import BrokerNode, find_program
from tests.faults.attack import RECOVERY_SECONDS, Target
from tests.faults.catalogue.fault import Fault, Place
from tests.support.waiting import wait_until

AWAY_SECONDS = 60.0
BLOCKED_SECONDS = 12.0
"""Longer than the deadline of a call and the pauses between the relay's tries."""


class Killed(Fault):
    """kill -9 of the broker."""

    times = 2

    def __init__(self) -> None:
        super().__init__("broker-killed")

    def inject(self, place: Place) -> None:
        place.target.kill("broker")


class Away(Fault):
    """No broker for a minute: whenever one starts it is killed."""

    def __init__(self) -> None:
        super().__init__("broker-away")

    def inject(self, place: Place) -> None:
        end = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < end:
            wait_until(lambda: place.target.system.kill("broker", signal.SIGKILL), RECOVERY_SECONDS, 0.2)
            eventlet.sleep(0.5)


class Wiped(Fault):
    """The broker loses all that it kept, and what slow readers had not yet taken from it."""

    PILE_UP_SECONDS = 2.0
    """So long people work while nobody takes anything from the queues."""

    def __init__(self) -> None:
        super().__init__("broker-wiped")

    def inject(self, place: Place) -> None:
        system = place.target.system
        for service in ("backup", "notifier"):
            system.hold_still(service)
        eventlet.sleep(self.PILE_UP_SECONDS)
        mnesia = system.data_dir / "broker" / "mnesia"
        stopped = system.hold_still("broker")
        mnesia.rename(mnesia.with_name("mnesia.wiped"))
        os.kill(stopped, signal.SIGKILL)
        wait_until(lambda: system.pid_of("broker") != stopped, RECOVERY_SECONDS, 0.2)
        shutil.rmtree(mnesia.with_name("mnesia.wiped"))

    def heal(self, place: Place) -> None:
        for service in ("backup", "notifier"):
            place.target.system.kill(service, signal.SIGCONT)


class Alarmed(Fault):
    """A memory alarm blocks all publishers: the connections stay, but what is sent is not taken."""

    hold_seconds = BLOCKED_SECONDS

    def __init__(self) -> None:
        super().__init__("broker-memory-alarm")
        self._limit = ""

    def inject(self, place: Place) -> None:
        target = place.target
        self._limit = rabbitmqctl(target, "eval", "vm_memory_monitor:get_vm_memory_high_watermark().").strip()
        rabbitmqctl(target, "set_vm_memory_high_watermark", "0.00001")
        wait_until(lambda: "memory" in rabbitmqctl(target, "eval", "rabbit_alarm:get_alarms()."), RECOVERY_SECONDS, 0.2)

    def heal(self, place: Place) -> None:
        rabbitmqctl(place.target, "set_vm_memory_high_watermark", self._limit)


class BadLine(Fault):
    """The line to the broker is cut, slow, or swallows everything without a word; see ``CuttingProxy``."""

    stage = "lines"

    def __init__(self, name: str, seconds: float, **state: float | bool) -> None:
        super().__init__(f"bus-{name}")
        self.hold_seconds = seconds
        self._state = state

    def inject(self, place: Place) -> None:
        assert place.bus is not None
        place.bus.set(**self._state)
        if self._state.get("refusing"):
            place.bus.cut()

    def heal(self, place: Place) -> None:
        assert place.bus is not None
        place.bus.set(pause=0.0, refusing=False, black_hole=False)


def rabbitmqctl(target: Target, *command: str) -> str:
    """What ``rabbitmqctl`` says of the system's own broker."""
    program = find_program()
    assert program is not None
    node = BrokerNode.load(target.system.data_dir / "broker", program)
    done = subprocess.run(
        [program.with_name("rabbitmqctl"), "--quiet", *command],
        env={**os.environ, **node.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


FAULTS: list[Fault] = [
    Killed(),
    Away(),
    Wiped(),
    Alarmed(),
    BadLine("cut", 0.0, refusing=True),
    BadLine("cut-long", 30.0, refusing=True),
    BadLine("slow", 20.0, pause=0.2),
    BadLine("black-hole", 30.0, black_hole=True),
]
