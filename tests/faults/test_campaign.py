"""The order and the sharing of attacks, without a system."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from tests.faults.campaign import SYSTEM_LIVES, Campaign, key_of, ordered
from tests.faults.catalogue import ALL
from tests.faults.report import Result, load

TASKS = ordered(
    [(ALL[f"kill-{service}"], db, 1) for service in ("users", "files", "backup") for db in ("sqlite", "mariadb")]
)


class Stub(Campaign):
    """Notes what would be attacked; ``broken`` is the fault whose system does not start."""

    broken = ""

    @contextlib.contextmanager
    def _place(self, stage, database):
        if self.broken:
            self.broken = ""
            raise AssertionError("it does not start")
        yield SimpleNamespace()

    def _attack(self, place, task):
        return Result(*key_of(task), acknowledged=1)


@pytest.fixture
def campaign(tmp_path):
    """``campaign()`` is one of several that share their attacks."""
    (tmp_path / "claims").mkdir()
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(Stub(tmp_path / "results.jsonl", float("inf"), tmp_path / "claims", print))


def test_every_fault_comes_once_before_any_comes_twice():
    """A run that is broken off has seen as many faults as it could."""
    tasks = ordered([(fault, "sqlite", seed) for fault in ALL.values() for seed in (2, 1)])
    assert [seed for _, _, seed in tasks] == [1] * len(ALL) + [2] * len(ALL)


def test_each_attack_is_made_once(campaign, tmp_path, capsys):
    """Of several processes that have the same list each makes what no other has begun."""
    first, second = campaign(), campaign()
    assert first.claimed(TASKS[0])
    second.run(TASKS)
    first.run(TASKS)
    made = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(made) == len(TASKS) - 1 == len(load(tmp_path / "results.jsonl"))


def test_a_system_that_does_not_start_is_told_of_one_attack(campaign, tmp_path, capsys):
    """The others are made on the next."""
    one = campaign()
    one.broken = "yes"
    one.run(TASKS)
    results = load(tmp_path / "results.jsonl")
    assert set(results) == {key_of(task) for task in TASKS}
    assert [bool(results[key_of(task)].violations) for task in TASKS] == [True] + [False] * (len(TASKS) - 1)
    assert len(TASKS) <= SYSTEM_LIVES * 2
