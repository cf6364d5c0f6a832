"""``make run``: what it refuses, what it restarts, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from docsave_services.runtime import processes
from docsave_services.runtime.environment import ROOT
from docsave_services.runtime.ports import LOOPBACK
from docsave_services.runtime.supervise import only_one
from tests.support.system import RUN, System
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

SERVICES = {"users", "files", "webhooks", "backup", "notifier", "gateway"}


def _refusal(system: System, **env: str) -> str:
    """What ``make run`` says when it refuses to start."""
    environment = {**os.environ, **system.env, **env}
    done = subprocess.run(RUN, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def _log_in(system: System) -> int:
    body = {"login": system.admin_login, "password": system.admin_password}
    return requests.post(f"{system.base_url}/login", json=body, timeout=10).status_code


def test_every_service_runs_in_a_process_of_its_own(system):
    """Every service, the broker and its name server, each with its own process, and the administrator can log in."""
    names = {system.pid_of(name) for name in SERVICES | {"broker", "epmd"}}
    assert len(names) == len(SERVICES) + 2
    assert _log_in(system) == 200


def test_start_tells_where_everything_is(system):
    """The addresses, the password's place and the time are printed, the password itself never."""
    wait_until(lambda: "docsave is ready after" in system.output(), 20)
    said = system.output()
    assert system.base_url in said
    assert system.socket_url in said
    assert str(system.data_dir / "secrets" / "admin_password") in said
    for secret in (system.admin_password, system.shell_environment()["DOCSAVE_SECRET_KEY"]):
        assert secret not in said


def test_secrets_are_private(system):
    """Generated secrets and the file for the operator's shell are readable by their owner only."""
    assert (system.data_dir / "secrets").stat().st_mode & 0o777 == 0o700
    for path in (*(system.data_dir / "secrets").iterdir(), system.data_dir / "env"):
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_services_get_only_the_secrets_they_use(system):
    """The key that signs tokens (and hides the secrets of webhooks) is known to those that need it, the administrator's
    password to no service."""
    for service in SERVICES:
        variables = Path(f"/proc/{system.pid_of(service)}/environ").read_bytes()
        assert (b"DOCSAVE_SECRET_KEY=" in variables) == (service not in {"files", "backup"}), service
        assert b"DOCSAVE_ADMIN_PASSWORD=" not in variables


def test_services_share_two_heaps(system):
    """Threads for blocking work would each keep a heap as large as it ever was."""
    for service in SERVICES:
        environment = Path(f"/proc/{system.pid_of(service)}/environ").read_bytes().split(b"\0")
        assert b"MALLOC_ARENA_MAX=2" in environment, service


def test_nameko_shell_finds_the_running_system(system):
    """Sourcing ``<data>/env`` is all an operator needs for ``nameko shell --config config.yml``."""
    shell = f". {system.data_dir}/env && .venv/bin/nameko shell --config config.yml"
    done = subprocess.run(
        ["sh", "-c", shell], cwd=ROOT, input="print(n.rpc.users.health())\n", capture_output=True, text=True, timeout=60
    )
    assert "'database': 'ok'" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_probe_of_a_running_service_passes(system, service):
    """The containers' health check finds each service of a healthy system well."""
    command = [sys.executable, "-m", "docsave_services.runtime.probe", service]
    environment = {**os.environ, **system.shell_environment(), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_second_start_on_the_same_directory_is_refused(system):
    """Two systems never share a data directory; the running one is not disturbed."""
    before = _lasting(system)
    said = _refusal(system, DOCSAVE_PORT="0", DOCSAVE_NOTIFIER_PORT="0")
    assert said.strip() == f"docsave: another docsave already runs on {system.data_dir}"
    assert _lasting(system) == before


def _lasting(system):
    """The processes that stay; the broker's helpers and who announces the system come and go."""
    return {name: system.pid_of(name) for name in (*SERVICES, "broker", "epmd")}


def test_port_in_use_is_refused_in_one_line(new_system):
    """A taken port is named, also one whose owner would share it by SO_REUSEPORT."""
    system = new_system()
    with socket.create_server((LOOPBACK, 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        said = _refusal(system, DOCSAVE_PORT=str(port))
    assert said.strip() == (
        f"docsave: port {port} of {LOOPBACK} is in use by another program; set DOCSAVE_PORT to a free one"
    )


def test_short_key_is_refused_in_one_line(new_system):
    """A key that weakens the signature never signs anything."""
    said = _refusal(new_system(), DOCSAVE_SECRET_KEY="x" * 31)
    assert said.strip() == "docsave: DOCSAVE_SECRET_KEY is shorter than 32 bytes"


def test_missing_broker_program_is_named(new_system, monkeypatch):
    """Without RabbitMQ one line says what to install."""
    from docsave_services.runtime import environment, supervise

    monkeypatch.setattr(supervise, "find_program", lambda: None)
    with pytest.raises(environment.EnvironmentProblem, match="rabbitmq-server"):
        supervise._broker_program()


def test_lock_is_free_again_after_its_owner(tmp_path):
    """The lock of a data directory ends with its process, whatever is left in the file."""
    with only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


@pytest.mark.fault
@pytest.mark.parametrize("service", ["users", "files", "webhooks", "backup", "notifier", "gateway", "broker", "epmd"])
def test_killed_program_is_restarted(system, service):
    """After kill -9 of any one program another one takes its place and everything answers within 30 s."""
    killed = system.kill(service, signal.SIGKILL)
    wait_until(lambda: system.pid_of(service) not in (0, killed), 30)
    system.wait_ready(30)
    assert _log_in(system) == 200


@pytest.fixture(scope="module")
def stoppable(tmp_path_factory) -> Iterator[System]:
    """A system that the tests below stop in all ways; each starts it again if it needs to (a start is expensive)."""
    started = System(tmp_path_factory.mktemp("stoppable"))
    yield started
    started.stop()


def _make_sure_it_runs(system: System) -> None:
    if not system.processes():
        system.start()
    system.wait_ready()


@pytest.mark.fault
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_leaves_no_process_and_the_next_start_no_new_secret(stoppable, number):
    """Ctrl-C and SIGTERM end everything within 15 s; the next start keeps secrets, accounts and broker."""
    _make_sure_it_runs(stoppable)
    secrets = stoppable.shell_environment(), stoppable.admin_password
    stoppable.signal(number)
    assert stoppable.wait_ended() == 0
    assert stoppable.processes() == {}
    _make_sure_it_runs(stoppable)
    assert (stoppable.shell_environment(), stoppable.admin_password) == secrets
    assert _log_in(stoppable) == 200


@pytest.mark.fault
def test_killed_supervisor_takes_everything_along_and_the_next_start_is_clean(stoppable):
    """kill -9 of supervisord leaves nothing running, and the next start needs no cleaning by hand."""
    _make_sure_it_runs(stoppable)
    os.kill(stoppable.supervisor_pid(stoppable.processes()), signal.SIGKILL)
    assert stoppable.wait_ended() == 1
    wait_until(lambda: stoppable.processes() == {}, 15)
    _make_sure_it_runs(stoppable)
    assert _log_in(stoppable) == 200


@pytest.mark.fault
def test_killed_front_process_takes_everything_along(stoppable):
    """kill -9 of the process in front (of ``make run`` itself) still ends the whole system in order."""
    _make_sure_it_runs(stoppable)
    stoppable.signal(signal.SIGKILL)
    wait_until(lambda: stoppable.processes() == {}, 20)


@pytest.mark.fault
def test_stop_during_the_start_leaves_no_process(stoppable):
    """Ctrl-C while everything is still coming up ends it all the same."""
    stoppable.stop()
    stoppable.start()
    wait_until(lambda: "broker" in stoppable.processes().values(), 30)
    stoppable.signal(signal.SIGINT)
    stoppable.wait_ended()
    assert stoppable.processes() == {}


def test_broker_of_somebody_else_is_used_and_left_alone(new_system, broker):
    """With DOCSAVE_AMQP_URI no private node is started, and the given one goes on when the system stops."""
    system = new_system(DOCSAVE_AMQP_URI=broker.amqp_uri)
    system.start()
    system.wait_ready()
    assert system.amqp_uri == broker.amqp_uri
    assert not {"broker", "epmd"} & set(system.processes().values())
    assert not (system.data_dir / "broker").exists()
    system.signal(signal.SIGTERM)
    assert system.wait_ended() == 0
    assert broker.node.wait_ready(0)


def test_leftovers_of_another_directory_are_not_touched(system, tmp_path):
    """Looking for what an earlier run left behind finds nothing of another data directory."""
    assert processes.of_data_dir(tmp_path) == {}
    assert processes.end_all(tmp_path, 0) == 0
    assert system.processes()


def test_system_runs_on_mariadb(new_system, mariadb):
    """The same start with DOCSAVE_DB_URI prepares and uses MariaDB."""
    system = new_system(DOCSAVE_DB_URI=mariadb.fresh_uri())
    system.start()
    system.wait_ready()
    assert _log_in(system) == 200
    assert not (system.data_dir / "docsave.sqlite3").exists()
