"""The one-shot preparation, and what a service says when it cannot start."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import sqlalchemy

from docsave_services.runtime.environment import ROOT
from docsave_services.runtime.ports import LOOPBACK, free_ports
from docsave_services.runtime.programs import SERVICES, bootstrap_command, service_command

pytestmark = pytest.mark.process

PASSWORD = "correct horse battery"


def _environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCSAVE_")}
    return {**kept, "PYTHONWARNINGS": "ignore", **settings}


def _run(command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=_environment(**settings), capture_output=True, text=True, timeout=90, check=False
    )


def _accounts(uri: str) -> list[tuple[str, str]]:
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text("SELECT login, role FROM user"))]
    finally:
        engine.dispose()


def test_two_at_once_prepare_one_system(database_uri, tmp_path):
    """Two bootstraps that start together both succeed; there is one administrator and the blob directory."""
    settings = {
        "DOCSAVE_DB_URI": database_uri,
        "DOCSAVE_DATA_DIR": str(tmp_path / "data"),
        "DOCSAVE_ADMIN_LOGIN": "root",
        "DOCSAVE_ADMIN_PASSWORD": PASSWORD,
    }
    both = [
        subprocess.Popen(bootstrap_command(), cwd=ROOT, env=_environment(**settings), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "".join(said).count("created the first administrator, root") == 1
    assert PASSWORD not in "".join(said)
    assert _accounts(database_uri) == [("root", "admin")]
    assert (tmp_path / "data" / "blobs" / "staging").is_dir()


def test_later_starts_leave_accounts_alone(tmp_path):
    """Another password or login in the settings changes nothing once there is an account."""
    uri = f"sqlite:///{tmp_path}/docsave.sqlite3"
    given = {"DOCSAVE_DB_URI": uri, "DOCSAVE_DATA_DIR": str(tmp_path), "DOCSAVE_ADMIN_PASSWORD": PASSWORD}
    assert _run(bootstrap_command(), **given).returncode == 0
    again = _run(bootstrap_command(), **{**given, "DOCSAVE_ADMIN_LOGIN": "another"})
    assert again.returncode == 0, again.stdout + again.stderr
    assert _accounts(uri) == [("admin", "admin")]


def test_bootstrap_without_a_password_says_so(tmp_path):
    """No administrator is ever created with a password that nobody set."""
    uri = f"sqlite:///{tmp_path}/docsave.sqlite3"
    done = _run(bootstrap_command(), DOCSAVE_DB_URI=uri, DOCSAVE_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "bootstrap: DOCSAVE_ADMIN_PASSWORD is not set"
    assert _accounts(uri) == []


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_without_a_broker_address_says_so(name, tmp_path):
    """One line names the setting that is missing."""
    done = _run(service_command(name), **_sqlite(tmp_path))
    assert (done.returncode, done.stderr.strip()) == (1, f"{name}: DOCSAVE_AMQP_URI is not set")


def test_service_refuses_a_short_key(tmp_path):
    """A container with a weak key does not come up."""
    done = _run(service_command("gateway"), DOCSAVE_SECRET_KEY="short", **_sqlite(tmp_path))
    assert (done.returncode, done.stderr.strip()) == (1, "gateway: DOCSAVE_SECRET_KEY is shorter than 32 bytes")


def test_probe_of_a_service_that_does_not_answer_fails(tmp_path):
    """A container's health check ends with status 1 and one line, without waiting for ever."""
    port = str(free_ports(1)[0])
    uri = f"amqp://guest:guest@{LOOPBACK}:{port}/"
    for name in ("gateway", "files"):
        done = _run(
            [sys.executable, "-m", "docsave_services.runtime.probe", name], DOCSAVE_PORT=port, DOCSAVE_AMQP_URI=uri
        )
        assert done.returncode == 1
        assert done.stderr.strip().splitlines()[-1].startswith(f"{name}: ")


def _sqlite(tmp_path) -> dict[str, str]:
    return {
        "DOCSAVE_DB_URI": f"sqlite:///{tmp_path}/docsave.sqlite3",
        "DOCSAVE_DATA_DIR": str(tmp_path),
        "DOCSAVE_ADMIN_PASSWORD": PASSWORD,
    }
