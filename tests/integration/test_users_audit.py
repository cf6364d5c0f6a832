"""The audit trail on a real database: complete, append-only, without secrets."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from docsave_services.db import audit
from docsave_services.db.audit import Actor
from docsave_services.errors import (
    BadCredentials,
    DocsaveError,
    InvalidInput,
    LastAdministrator,
    WrongPassword,
)
from docsave_services.times import now
from docsave_services.users import handlers, keys, sessions
from tests.support.accounts import PASSWORD, Accounts, open_accounts
from tests.support.documents import Documents

ANN = Actor(1, "192.0.2.7", "5" * 32, None)


@pytest.fixture
def accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with open_accounts(database_uri, monkeypatch) as opened:
        yield opened


def test_the_trail_tells_who_did_what_from_where(accounts: Accounts) -> None:
    """Log-ins with their session, failures, changes, keys: newest first, each with its actor."""
    user_id, login = accounts.new()
    session_id = accounts.identity(accounts.log_in(login)).session_id
    with pytest.raises(BadCredentials):
        accounts.log_in(login, "wrong password")
    actor = Actor(user_id, "192.0.2.1", session_id)
    handlers.update_user(accounts.db, user_id, {"password": "another password"}, PASSWORD, True, actor=actor)
    made = keys.create_key(accounts.db, user_id, None, ["files:read"], None, actor)
    keys.revoke_key(accounts.db, user_id, made["id"], actor)
    trail = accounts.trail()
    assert [e["action"] for e in trail] == [
        "key_revoked", "key_created", "password_changed", "login_failed", "login", "user_created",
    ]  # fmt: skip
    assert {e["user_id"] for e in trail} == {user_id}
    assert [e["by"] for e in trail] == [user_id, user_id, user_id, None, user_id, None]
    assert {e["address"] for e in trail[:5]} == {"192.0.2.1"}
    assert {e["session_id"] for e in (*trail[:3], trail[4])} == {session_id}


def test_the_trail_tells_what_an_administrator_changed(accounts: Accounts) -> None:
    """The new values of role, active and quota, and with which key or session."""
    user_id, _ = accounts.new()
    powers = handlers.Powers("admin", False, 7)
    handlers.update_user(accounts.db, user_id, {"name": "Bob"}, None, False, powers, Actor(1, "::1", None, 9))
    entry = accounts.trail(action="user_updated")[0]
    assert (entry["by"], entry["key_id"], entry["address"]) == (1, 9, "::1")
    assert entry["detail"] == {"fields": ["name"], "role": "admin", "active": False, "quota_bytes": 7}


def test_no_secret_is_in_the_trail(accounts: Accounts) -> None:
    """Nor a login that nobody has: it may be a password in the wrong field."""
    user_id, login = accounts.new()
    pair = accounts.log_in(login)
    for wrong in ((login, "a wrong secret"), ("my-secret-password", "x")):
        with pytest.raises(BadCredentials):
            accounts.log_in(*wrong)
    with pytest.raises(WrongPassword):
        handlers.update_user(accounts.db, user_id, {"password": "another password"}, "guessed", True)
    handlers.update_user(accounts.db, user_id, {"password": "another password"}, PASSWORD, True)
    told = json.dumps(accounts.trail())
    secrets = (PASSWORD, "another password", "a wrong secret", "my-secret-password", "guessed", pair["refresh_token"])
    assert [secret for secret in secrets if secret in told] == []
    hashes = accounts.db.read(lambda s: s.scalars(text("SELECT password_hash FROM user")).all())
    assert not any(h in told for h in hashes)


@pytest.mark.parametrize("statement", ["UPDATE audit_entry SET action = 'x'", "DELETE FROM audit_entry"])
def test_the_database_refuses_to_change_the_trail(accounts: Accounts, statement: str) -> None:
    """Append-only for whoever writes SQL, not by good manners."""
    accounts.new()
    with pytest.raises((DBAPIError, DocsaveError)):
        accounts.db.write(lambda s: s.execute(text(statement)))
    assert [e["action"] for e in accounts.trail()] == ["user_created"]


def test_the_trail_is_filtered_and_paged(accounts: Accounts) -> None:
    """By action, account and time; a page goes on where the one before ended although lines are added."""

    ids = [accounts.new()[0] for _ in range(3)]
    first = accounts.db.read(lambda s: audit.read(s, 2, None))
    accounts.new()
    rest = accounts.db.read(lambda s: audit.read(s, 2, first["next"]))
    assert [e["user_id"] for e in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None
    assert [e["user_id"] for e in accounts.trail(user_id=ids[1])] == [ids[1]]
    assert accounts.trail(action="login") == []
    assert accounts.trail(since=now() + timedelta(seconds=5)) == []
    assert len(accounts.trail(since=now() - timedelta(minutes=5))) == 4


@pytest.mark.parametrize(
    ("limit", "after", "action", "user_id"),
    [(0, None, None, None), (1001, None, None, None), ("1", None, None, None), (True, None, None, None),
     (5, "x", None, None), (5, 7, None, None), (5, "9" * 40, None, None), (5, None, "hacked", None),
     (5, None, ["login"], None), (5, None, None, "1")],
)  # fmt: skip
def test_a_wrong_question_to_the_trail_is_refused(
    accounts: Accounts, limit: Any, after: Any, action: Any, user_id: Any
) -> None:
    """A named error."""
    with pytest.raises(InvalidInput):
        accounts.db.read(lambda s: audit.read(s, limit, after, action, user_id))


def test_what_was_not_committed_is_not_told(accounts: Accounts) -> None:
    """The line is in the transaction of the change."""
    user_id, _ = accounts.new("admin")
    with pytest.raises(LastAdministrator):
        accounts.update(user_id, active=False)
    assert [e["action"] for e in accounts.trail()] == ["user_created"]


def test_a_deletion_of_a_file_is_in_the_trail(
    database_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written by the files service with the deletion, and only with it: a refused one leaves no line."""
    with open_accounts(database_uri, monkeypatch) as accounts:
        documents = Documents(database_uri, tmp_path)
        try:
            file = documents.apply(documents.create()).outcomes[0]["file"]
            origin: Any = {"by": documents.user_id, "address": "192.0.2.3", "session_id": "6" * 32, "key_id": 4}
            delete: Any = {"op": "delete", "file_id": file["id"], **origin}
            outcomes = [documents.apply(delete).outcomes[0]["ok"] for _ in range(2)]
        finally:
            documents.close()
        assert outcomes == [True, False]
        (entry,) = accounts.trail(action="file_deleted")
        assert {name: entry[name] for name in origin} == origin  # type: ignore[literal-required]
        assert entry["user_id"] == documents.user_id
        assert entry["detail"] == {"file": file["id"], "version": 2}


def test_ending_one_session_of_a_user(accounts: Accounts) -> None:
    """What an operator does: that one ends, the others stay, a second time finds nothing."""
    user_id, login = accounts.new()
    pair, other = accounts.log_in(login), accounts.log_in(login)
    session_id = accounts.identity(pair).session_id or ""
    ended = [accounts.db.write(lambda s: sessions.end_session(s, session_id, Actor())) for _ in range(2)]
    assert [row is not None for row in ended] == [True, False]
    assert accounts.refused(pair)
    assert not accounts.refused(other)
    assert [e["user_id"] for e in accounts.trail(action="sessions_revoked")] == [user_id]
