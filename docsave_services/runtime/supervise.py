"""``make run``: the whole system in the foreground, until Ctrl-C or SIGTERM.

Prepares settings, secrets and the private broker, then hands over to supervisord, which starts every program and
restarts what dies. This process stays in front of it: it passes the output on, stops everything in order when asked,
and ends by force what would not stop in time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from docsave_services.runtime import environment as env
from docsave_services.runtime import supervisor_config
from docsave_services.runtime.announce import STARTED_AT
from docsave_services.runtime.broker import BrokerNode, find_program
from docsave_services.runtime.leash import bind_to_parent
from docsave_services.runtime.ports import free_ports, is_taken
from docsave_services.runtime.processes import MARK, end_all
from docsave_services.runtime.programs import SERVICES, own_amqp_uri
from docsave_services.runtime.relay import Relay
from docsave_services.storage.durable import make_directories

FORCE_AFTER_SECONDS = supervisor_config.STOP_LIMIT_SECONDS - 1.5
LEFTOVER_SECONDS = 5.0


def main() -> None:
    """Ends with status 0 after a stop that was asked for, and 1 with one line when the system cannot start."""
    begun = time.monotonic()
    if "--with-parent" in sys.argv[1:]:
        bind_to_parent(signal.SIGTERM)
    try:
        resolved = env.resolve(os.environ)
        with only_one(Path(resolved[env.DATA_DIR])):
            status = _run(_prepare(resolved, begun))
    except (env.EnvironmentProblem, OSError) as exc:
        sys.exit(f"docsave: {exc}")
    sys.exit(status)


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """One system for each data directory: ``EnvironmentProblem`` when another one runs on it."""
    make_directories(data_dir / "run", 0o700)
    with (data_dir / "run" / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise env.EnvironmentProblem(f"another docsave already runs on {data_dir}") from exc
        yield


def _prepare(resolved: dict[str, str], begun: float) -> dict[str, str]:
    """Settings complete, ports checked, broker's identity and the supervisor's configuration on disk."""
    data_dir = Path(resolved[env.DATA_DIR])
    if not set(";#\n").isdisjoint(str(data_dir)):
        raise env.EnvironmentProblem(
            f"{env.DATA_DIR} has a ';', a '#' or a line break in it, which supervisord cannot read"
        )
    left = end_all(data_dir, LEFTOVER_SECONDS)
    if left:
        print(f"docsave: ended {left} processes that an earlier run left behind", flush=True)
    _choose_ports(resolved)
    resolved = env.add_secrets(resolved)
    node = None
    if not resolved.get(env.AMQP_URI):
        node = BrokerNode.prepare(data_dir / "broker", _broker_program())
        resolved[env.AMQP_URI] = node.amqp_uri
        resolved.update({own_amqp_uri(name): node.amqp_uri_of(name) for name in SERVICES})
    env.write_shell_file(resolved)
    run_dir = data_dir / "run"
    supervisor_config.write(_configuration(data_dir), run_dir, supervisor_config.groups(node, run_dir))
    resolved[STARTED_AT] = str(begun)
    resolved[MARK] = str(data_dir)
    resolved.setdefault("PYTHONWARNINGS", "ignore")
    return resolved


def _configuration(data_dir: Path) -> Path:
    return data_dir / "run" / "supervisord.conf"


def _choose_ports(resolved: dict[str, str]) -> None:
    host = resolved[env.HOST]
    for name in (env.PORT, env.NOTIFIER_PORT):
        if not resolved[name].isdigit() or int(resolved[name]) > 65535:
            raise env.EnvironmentProblem(f"{name} must be a port number")
        if resolved[name] == "0":
            resolved[name] = str(free_ports(1, host)[0])
        elif is_taken(host, int(resolved[name])):
            raise env.EnvironmentProblem(
                f"port {resolved[name]} of {host} is in use by another program; set {name} to a free one"
            )
    if resolved[env.PORT] == resolved[env.NOTIFIER_PORT]:
        raise env.EnvironmentProblem(f"{env.PORT} and {env.NOTIFIER_PORT} are the same port")


def _broker_program() -> Path:
    program = find_program()
    if program is None:
        raise env.EnvironmentProblem(
            "RabbitMQ is missing: install it (Debian: apt-get install rabbitmq-server) or set " + env.AMQP_URI
        )
    return program


def _run(environment: dict[str, str]) -> int:
    """Run supervisord until it ends or a signal asks for the end."""
    data_dir = Path(environment[MARK])
    asked: list[float] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(time.monotonic())

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    source, sink = os.pipe()
    supervisor = _start_supervisor(environment, sink)
    os.close(sink)
    try:
        _attend(supervisor, Relay(source, sys.stdout.fileno()), asked)
    finally:
        end_all(data_dir, 0)
    return 0 if asked else 1


def _start_supervisor(environment: dict[str, str], sink: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "docsave_services.runtime.supervisord", environment[MARK], str(os.getpid())]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=env.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=sink,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches only us; we stop the rest in order
    )


def _attend(supervisor: subprocess.Popen[bytes], relay: Relay, asked: list[float]) -> None:
    """Pass the output on until supervisord has ended; once asked to stop, give it a bounded time."""
    told = False
    while supervisor.poll() is None:
        relay.step(0.2)
        if asked and not told:
            supervisor.terminate()
            told = True
        if asked and time.monotonic() - asked[0] > FORCE_AFTER_SECONDS:
            supervisor.kill()
    relay.drain(1.0)


if __name__ == "__main__":
    main()
