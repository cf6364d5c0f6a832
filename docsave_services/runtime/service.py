"""``python -m docsave_services.runtime.service files``: wait for what the service needs, then become it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from docsave_services.runtime import environment as env
from docsave_services.runtime.broker import wait_for_broker
from docsave_services.runtime.leash import bind_to_parent
from docsave_services.runtime.programs import SERVICES, ServiceProgram, own_amqp_uri

WAIT_SECONDS = 60.0
"""How long a start waits for the broker, and then for the schema; after that it ends and is started again."""

MALLOC_ARENAS = "2"
"""glibc gives each thread a heap of its own, and each keeps the most that it ever needed. After 24 passes of ``verify``
over 16,000 entries a process held 39 MiB that nobody used; with two heaps it was 8."""

SUPERVISOR_PID = "DOCSAVE_SUPERVISOR_PID"


def main(arguments: list[str]) -> None:
    """Never returns: this process is the service afterwards, or ends with one line that says why not."""
    if len(arguments) != 1 or arguments[0] not in SERVICES:
        sys.exit(f"usage: python -m {__spec__.name} {{{'|'.join(SERVICES)}}}")
    follow_supervisor()
    program = SERVICES[arguments[0]]
    try:
        resolved = env.current()
    except env.EnvironmentProblem as exc:
        sys.exit(f"{program.name}: {exc}")
    problem = _wait(program, resolved)
    if problem:
        sys.exit(f"{program.name}: {problem}")
    _become(program, resolved)


def follow_supervisor() -> None:
    """End with the supervisor, however it ends. Started by hand or as a container this does nothing."""
    supervisor = os.environ.get(SUPERVISOR_PID)
    if supervisor:
        bind_to_parent(signal.SIGKILL, int(supervisor))


def _wait(program: ServiceProgram, resolved: dict[str, str]) -> str | None:
    amqp_uri = resolved.get(env.AMQP_URI)
    if not amqp_uri:
        return f"{env.AMQP_URI} is not set"
    # The schema first: looking at it costs a second of imports, which pass while the broker is still coming up.
    if program.uses_database and not wait_for(lambda: _schema_is_ready(resolved), WAIT_SECONDS):
        return f"the database's schema was not ready for {WAIT_SECONDS:.0f} s; bootstrap's log says why"
    if not wait_for_broker(amqp_uri, WAIT_SECONDS):
        return f"the message broker of {env.AMQP_URI} did not let us in for {WAIT_SECONDS:.0f} s"
    return None


def wait_for(condition: Callable[[], bool], seconds: float, pause: float = 0.2) -> bool:
    """Whether ``condition`` becomes true within ``seconds``; it is looked at every ``pause`` seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True


def database_uri(resolved: dict[str, str]) -> str:
    """The database of the settings: what ``Settings`` says, without a broker's address."""
    return resolved.get(env.DB_URI) or f"sqlite:///{resolved[env.DATA_DIR]}/docsave.sqlite3"


def _schema_is_ready(resolved: dict[str, str]) -> bool:
    from sqlalchemy.exc import SQLAlchemyError  # late: some services need none of it

    from docsave_services.db import migrate

    try:
        return migrate.is_ready(database_uri(resolved))
    except SQLAlchemyError:
        return False  # not there yet; the deadline bounds the waiting


def _become(program: ServiceProgram, resolved: dict[str, str]) -> None:
    unused = {*env.FROM_FILES, *map(own_amqp_uri, SERVICES)} - {*program.secrets, env.METRICS_TOKEN}
    environment = env.without(resolved, unused)
    environment.setdefault("PYTHONWARNINGS", "ignore")  # Nameko's imports of pkg_resources and eventlet each warn
    environment.setdefault("MALLOC_ARENA_MAX", MALLOC_ARENAS)
    environment["PYTHONUNBUFFERED"] = "1"
    nameko = str(Path(sys.executable).with_name("nameko"))
    os.chdir(env.ROOT)
    os.execve(  # noqa: S606 - Nameko's own command line
        sys.executable, [sys.executable, nameko, "run", "--config", str(env.CONFIG), program.target], environment
    )


if __name__ == "__main__":
    main(sys.argv[1:])
