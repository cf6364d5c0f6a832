"""Systems to attack, started once for all attacks, and the seed that an attack can be repeated with."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.attack import Attack, Target
from tests.support.mariadb import MariaDb
from tests.support.system import running_system

SEED = os.environ.get("DOCSAVE_FAULT_SEED") or secrets.token_hex(3)
"""The same seed gives the same requests and the same moments, as far as processes keep step."""

AttackFactory = Callable[[Target], Attack]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how a failed attack is repeated."""
    if any("tests/faults/" in report.nodeid for report in terminalreporter.stats.get("failed", [])):
        terminalreporter.write_line(f"repeat the failed attacks with DOCSAVE_FAULT_SEED={SEED}")


@pytest.fixture(scope="package")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A system on SQLite."""
    with running_system(tmp_path_factory.mktemp("on_sqlite")) as system:
        yield Target(system)


@pytest.fixture(scope="package")
def on_mariadb(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDb) -> Iterator[Target]:
    """A system on MariaDB."""
    uri = mariadb.fresh_uri()
    with running_system(tmp_path_factory.mktemp("on_mariadb"), DOCSAVE_DB_URI=uri) as system:
        yield Target(system, uri)


@pytest.fixture
def attack_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AttackFactory]:
    """``attack_on(target)`` begins an attack; it ends with the test."""
    begun: list[Attack] = []

    def begin(target: Target) -> Attack:
        begun.append(Attack(target, f"{SEED}:{request.node.name}", tmp_path))
        return begun[-1]

    try:
        yield begin
    finally:
        for attack in begun:
            attack.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the end of the attacked system's log with a test that failed."""
    outcome = yield
    report = outcome.get_result()
    for target in getattr(item, "funcargs", {}).values():
        if report.failed and isinstance(target, Target):
            report.sections.append(("log of the attacked system", target.system.output()[-8000:]))
