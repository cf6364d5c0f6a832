"""The operator's commands, as processes on a real database."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from docsave_services.errors import BadCredentials, Unauthenticated
from docsave_services.runtime.environment import ROOT
from docsave_services.users import handlers
from tests.support.accounts import PASSWORD, Accounts, open_accounts

pytestmark = pytest.mark.process


@pytest.fixture
def accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with open_accounts(database_uri, monkeypatch) as opened:
        yield opened


def run(accounts: Accounts, *arguments: str, typed: str = "", status: int = 0) -> str:
    """What the command says; it must end with ``status``."""
    environment: dict[str, Any] = {**os.environ, "DOCSAVE_DB_URI": accounts.uri, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "docsave_services.runtime.accounts", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input=typed, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_administrator_is_created(accounts: Accounts) -> None:
    """With the password from standard input, which is not shown; the same login again is refused in one line."""
    said = run(accounts, "create-admin", "Ann", typed=PASSWORD + "\n")
    assert "created the administrator Ann" in said
    assert PASSWORD not in said
    assert handlers.authenticate(accounts.db, "ann", PASSWORD)["role"] == "admin"
    again = run(accounts, "create-admin", "ann", typed=PASSWORD + "\n", status=1)
    assert again == "accounts: Another account has this login.\n"


@pytest.mark.parametrize("typed", ["", "password1\n"])
def test_the_rules_for_passwords_hold_for_operators_too(accounts: Accounts, typed: str) -> None:
    """No account, one line with the reason, not the password."""
    said = run(accounts, "create-admin", "ann", typed=typed, status=1)
    assert said.startswith("accounts: password ")
    assert "Traceback" not in said
    assert accounts.count("user") == 0


def test_a_password_is_reset(accounts: Accounts) -> None:
    """A generated one is printed once; the old one and all sessions end."""
    _, login = accounts.new()
    pair = accounts.log_in(login)
    said = run(accounts, "reset-password", login, "--generate")
    password = said.splitlines()[0].removeprefix("password: ")
    assert accounts.log_in(login, password)
    with pytest.raises(BadCredentials):
        handlers.authenticate(accounts.db, login, PASSWORD)
    with pytest.raises(Unauthenticated):
        accounts.refresh(pair)
    assert accounts.refused(pair)
    assert [e["by"] for e in accounts.trail(action="password_changed")] == [None]


def test_sessions_are_listed_and_ended(accounts: Accounts) -> None:
    """One by its id, then all of an account; another account's go on."""
    (_, ann), (_, bob) = accounts.new(), accounts.new()
    first, second, third = (accounts.log_in(ann) for _ in range(3))
    other = accounts.log_in(bob)
    ids = {pair["access_token"]: accounts.identity(pair).session_id or "" for pair in (first, second, third, other)}
    listed = run(accounts, "sessions", ann)
    assert all(ids[pair["access_token"]] in listed for pair in (first, second, third))
    assert ids[other["access_token"]] not in listed
    assert len(run(accounts, "sessions").splitlines()) == 4
    run(accounts, "revoke-session", ids[first["access_token"]])
    assert [accounts.refused(pair) for pair in (first, second, third)] == [True, False, False]
    assert "2 sessions" in run(accounts, "revoke-sessions", ann)
    assert [accounts.refused(pair) for pair in (second, third, other)] == [True, True, False]
    assert len(run(accounts, "sessions").splitlines()) == 1


@pytest.mark.parametrize(
    "command", [("reset-password", "nobody"), ("revoke-sessions", "nobody"), ("revoke-session", "0")]
)
def test_what_does_not_exist_is_said_so(accounts: Accounts, command: tuple[str, ...]) -> None:
    """One line, status 1."""
    said = run(accounts, *command, typed=PASSWORD + "\n", status=1)
    assert said.startswith("accounts: there is no ")
    assert said.count("\n") == 1
