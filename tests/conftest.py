"""Real parts for all tests: a private RabbitMQ, a private MariaDB, the whole system as processes.

Nothing is replaced by a fake here. Tests share the broker and the database server of a session, so each uses names of
its own: ``unique_service_names`` on the bus, ``database_uri`` (a new database) behind it.
"""

import eventlet

eventlet.monkey_patch()  # before anything imports socket or threading; noqa: E402 below follows from it

import uuid  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402

from tests.support.mariadb import MariaDb  # noqa: E402
from tests.support.rabbitmq import Broker  # noqa: E402
from tests.support.system import System, SystemFactory, running_system  # noqa: E402
from tests.support.waiting import wait_until as _wait_until  # noqa: E402


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A private RabbitMQ node; a test that kills it brings it back with ``restart``."""
    node = Broker(tmp_path_factory.mktemp("broker"))
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """A private MariaDB server."""
    server = MariaDb(tmp_path_factory.mktemp("mariadb"))
    try:
        server.install()
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", "mariadb"])
def database_uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URI of a new, empty database: the test runs once on SQLite and once on MariaDB."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/docsave.sqlite3"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    uri = server.fresh_uri()
    yield uri
    server.drop(uri)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole of docsave on SQLite, shared by a session: a test uses accounts of its own."""
    with running_system(tmp_path_factory.mktemp("system")) as started:
        yield started


@pytest.fixture
def new_system(tmp_path: Path) -> Iterator[SystemFactory]:
    """``new_system(DOCSAVE_DB_URI=…)`` is a system for this test alone, not yet started; all end with the test."""
    factory = SystemFactory(tmp_path)
    try:
        yield factory
    finally:
        for one in factory.made:
            one.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the end of the system's log with a test that failed."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for directory in {Path(value.log).parent for value in _systems_of(item)}:
        log = directory / "system.log"
        if log.exists():
            report.sections.append((f"log of {directory.name}", log.read_text(errors="replace")[-LOG_CHARACTERS:]))


LOG_CHARACTERS = 8000
"""How much of a system's log is shown with a failed test."""


def _systems_of(item: pytest.Item) -> list[System]:
    arguments = getattr(item, "funcargs", {})
    return [value for value in arguments.values() if isinstance(value, System)] + list(
        getattr(arguments.get("new_system"), "made", [])
    )


@pytest.fixture
def rabbit_config(broker: Broker) -> dict[str, Any]:
    """Nameko's fixture, without the management API that it asks for."""
    return {"AMQP_URI": broker.amqp_uri}


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """``wait_until(condition, deadline)``: see ``tests.support.waiting``."""
    return _wait_until


@pytest.fixture
def unique_service_names() -> Callable[[str], str]:
    """``unique_service_names("files")`` is a service name that no other test listens on."""
    suffix = uuid.uuid4().hex[:8]
    return lambda name: f"{name}_{suffix}"
