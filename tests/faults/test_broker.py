"""The broker dies while people work, with its memory or with everything it ever knew."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import eventlet
import pytest

from docsave_services.runtime.broker import BrokerNode, find_program
from tests.faults.attack import RECOVERY_SECONDS, Attack, Target
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.process]

PORTION = 40
BLOCKED_SECONDS = 12.0
"""Longer than the deadline of a call and the pauses between the relay's tries."""


def _survive(attack: Attack) -> None:
    attack.work_undisturbed(PORTION // 2)
    attack.assert_nothing_lost()


def _wipe(target: Target) -> None:
    """Take the stopped node's database away and kill it: the next one begins with nothing."""
    system = target.system
    mnesia = system.data_dir / "broker" / "mnesia"
    stopped = system.kill("broker", signal.SIGSTOP)
    mnesia.rename(mnesia.with_name("mnesia.wiped"))
    os.kill(stopped, signal.SIGKILL)
    wait_until(lambda: system.pid_of("broker") != stopped, RECOVERY_SECONDS, 0.2)
    shutil.rmtree(mnesia.with_name("mnesia.wiped"))


def test_nothing_is_lost_when_the_broker_is_killed(on_sqlite, attack_on):
    """After kill -9 of RabbitMQ under load all services find it again by themselves, and nothing is lost or double."""
    attack = attack_on(on_sqlite)
    attack.strike(lambda: on_sqlite.kill("broker"), PORTION)
    _survive(attack)


def test_nothing_is_lost_when_the_broker_forgets_everything(on_sqlite, attack_on):
    """With all queues gone, and what a slow backup and notifier had not yet taken from them, both catch up from the
    journal: the broker was only a hint."""
    attack = attack_on(on_sqlite)
    for service in ("backup", "notifier"):
        on_sqlite.system.kill(service, signal.SIGSTOP)
    attack.load.complete(PORTION // 2)
    attack.strike(lambda: _wipe(on_sqlite), PORTION // 2)
    for service in ("backup", "notifier"):
        on_sqlite.system.kill(service, signal.SIGCONT)
    _survive(attack)


def test_nothing_is_lost_while_the_broker_takes_nothing(on_sqlite, attack_on):
    """A memory alarm blocks all publishers: the connections stay, but what is sent is not taken. Requests are answered
    within their deadline, whatever the answer; when the alarm is over all recovers by itself."""
    attack = attack_on(on_sqlite)
    attack.strike(lambda: _alarm(on_sqlite, BLOCKED_SECONDS), PORTION)
    _survive(attack)


def _alarm(target: Target, seconds: float) -> None:
    """Raise RabbitMQ's memory alarm, as when other queues fill it, and take it back after ``seconds``."""
    limit = _rabbitmqctl(target, "eval", "vm_memory_monitor:get_vm_memory_high_watermark().").strip()
    _rabbitmqctl(target, "set_vm_memory_high_watermark", "0.00001")
    try:
        wait_until(
            lambda: "memory" in _rabbitmqctl(target, "eval", "rabbit_alarm:get_alarms()."), RECOVERY_SECONDS, 0.2
        )
        eventlet.sleep(seconds)  # how long it lasts is the fault
    finally:
        _rabbitmqctl(target, "set_vm_memory_high_watermark", limit)


def _rabbitmqctl(target: Target, *command: str) -> str:
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
