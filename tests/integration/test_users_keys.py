"""API keys on a real database: who acts, what ends a key, what is stored of it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from docsave_services.db.audit import Actor
from docsave_services.errors import (
    InvalidInput,
    NotFound,
    TooManyKeys,
    Unauthenticated,
)
from docsave_services.times import now, to_text
from docsave_services.users import keys
from tests.support.accounts import Accounts, open_accounts

ANN = Actor(1, "192.0.2.7", "5" * 32, None)


@pytest.fixture
def accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with open_accounts(database_uri, monkeypatch) as opened:
        yield opened


def new_key(accounts: Accounts, user_id: int, **given: Any) -> Any:
    options = {"name": "CRM", "scopes": ["files:read"], "expires_at": None, **given}
    return keys.create_key(accounts.db, user_id, options["name"], options["scopes"], options["expires_at"], ANN)


def test_a_key_says_who_acts_and_what_it_may(accounts: Accounts) -> None:
    """The owner, the owner's role, and the scopes in the order of the contract."""
    user_id, _ = accounts.new("admin")
    made = new_key(accounts, user_id, scopes=["events:read", "files:read", "events:read"])
    assert keys.verify_key(accounts.db, made["key"]) == {
        "key_id": made["id"], "user_id": user_id, "role": "admin", "version": 0,
        "scopes": ["files:read", "events:read"], "expires_at": None,
    }  # fmt: skip


def test_a_key_is_shown_once_and_stored_as_a_hash(accounts: Accounts) -> None:
    """A prefix to recognise it by is all that a list or the database shows."""
    user_id, _ = accounts.new()
    made = new_key(accounts, user_id)
    assert made["key"].startswith("dsk_")
    assert len(made["key"]) == 47
    assert made["prefix"] == made["key"][:12]
    stored = accounts.db.read(lambda s: s.execute(text("SELECT * FROM api_key")).all())
    shown = keys.list_keys(accounts.db, user_id)
    assert [key["id"] for key in shown] == [made["id"]]
    assert made["key"][12:] not in repr(stored) + repr(shown) + repr(accounts.trail())


def test_the_use_of_a_key_is_noted_once_a_minute(accounts: Accounts) -> None:
    """A busy key does not cost a write with every call."""
    user_id, _ = accounts.new()
    made = new_key(accounts, user_id)

    def used() -> str | None:
        keys.verify_key(accounts.db, made["key"])
        return keys.list_keys(accounts.db, user_id)[0]["last_used_at"]

    assert made["last_used_at"] is None
    first = used()
    assert first is not None
    assert used() == first
    accounts.later(61)
    assert used() > first


@pytest.mark.parametrize(
    "key", ["", "x", "dsk_", "dsk_" + "A" * 43, "dsk_é", "dsk_\ud800", "dsk_" + "x" * 10**6, 7, None]
)
def test_a_key_that_is_none_is_refused(accounts: Accounts, key: Any) -> None:
    """One error, one sentence."""
    with pytest.raises(Unauthenticated, match=r"^A valid access token is required\.$"):
        keys.verify_key(accounts.db, key)


def test_a_revoked_key_is_refused_at_once_and_everywhere(accounts: Accounts) -> None:
    """The owner's other keys go on; a second revocation finds nothing."""
    user_id, _ = accounts.new()
    made, other = new_key(accounts, user_id), new_key(accounts, user_id)
    keys.revoke_key(accounts.db, user_id, made["id"], ANN)
    with pytest.raises(Unauthenticated):
        keys.verify_key(accounts.db, made["key"])
    assert keys.verify_key(accounts.db, other["key"])
    assert [(r["kind"], r["id"]) for r in accounts.revocations()] == [("key", made["id"])]
    assert [key["id"] for key in keys.list_keys(accounts.db, user_id)] == [other["id"]]
    with pytest.raises(NotFound):
        keys.revoke_key(accounts.db, user_id, made["id"], ANN)


@pytest.mark.parametrize("key_id", [0, -1, 2**63, "1", True, None, 1.0])
def test_a_key_that_does_not_exist_cannot_be_revoked(accounts: Accounts, key_id: Any) -> None:
    """404, not an internal error; the same for somebody else's key."""
    user_id, _ = accounts.new()
    made = new_key(accounts, user_id)
    with pytest.raises(NotFound):
        keys.revoke_key(accounts.db, user_id, key_id, ANN)
    with pytest.raises(NotFound):
        keys.revoke_key(accounts.db, accounts.new()[0], made["id"], ANN)


def test_a_key_ends_with_its_time(accounts: Accounts) -> None:
    """Good until then, refused from then on, and still listed for its owner."""
    user_id, _ = accounts.new()
    end = to_text(now() + timedelta(hours=1))
    made = new_key(accounts, user_id, expires_at=end)
    assert keys.verify_key(accounts.db, made["key"])["expires_at"] == made["expires_at"] == end
    accounts.later(3601)
    with pytest.raises(Unauthenticated):
        keys.verify_key(accounts.db, made["key"])
    assert len(keys.list_keys(accounts.db, user_id)) == 1


def test_a_disabled_owner_disables_the_keys(accounts: Accounts) -> None:
    """And they work again when the owner does; what was cached of them is revoked by the owner's version."""
    user_id, _ = accounts.new()
    made = new_key(accounts, user_id)
    accounts.update(user_id, active=False)
    with pytest.raises(Unauthenticated):
        keys.verify_key(accounts.db, made["key"])
    with pytest.raises(NotFound):
        new_key(accounts, user_id)
    assert [(r["kind"], r["min_version"]) for r in accounts.revocations()] == [("user", 1)]
    accounts.update(user_id, active=True)
    assert keys.verify_key(accounts.db, made["key"])["version"] == 1


def test_a_key_has_the_role_its_owner_has_now(accounts: Accounts) -> None:
    """A lowered administrator's key is a user's key."""
    accounts.new("admin")
    user_id, _ = accounts.new("admin")
    made = new_key(accounts, user_id)
    accounts.update(user_id, role="user")
    assert keys.verify_key(accounts.db, made["key"])["role"] == "user"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scopes", []), ("scopes", ["files:delete"]), ("scopes", "files:read"), ("scopes", None), ("scopes", [1]),
        ("scopes", [["files:read"]]), ("name", ""), ("name", "x" * 256), ("name", "a\nb"), ("name", 5),
        ("expires_at", "tomorrow"), ("expires_at", "2020-01-01T00:00:00Z"), ("expires_at", 1900000000),
        ("expires_at", "2099-13-01T00:00:00Z"), ("expires_at", "2099-01-01"),
        ("expires_at", "0001-01-01T00:00:00+23:00"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_key_is_named(accounts: Accounts, field: str, value: Any) -> None:
    """422 with the field, no key."""
    user_id, _ = accounts.new()
    with pytest.raises(InvalidInput) as caught:
        new_key(accounts, user_id, **{field: value})
    assert [e["field"] for e in caught.value.errors] == [field]
    assert accounts.count("api_key") == 0


def test_an_account_has_so_many_keys_and_no_more(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revoked ones do not count."""
    monkeypatch.setattr(keys, "KEYS_MAX", 2)
    user_id, _ = accounts.new()
    made = [new_key(accounts, user_id) for _ in range(2)]
    with pytest.raises(TooManyKeys):
        new_key(accounts, user_id)
    keys.revoke_key(accounts.db, user_id, made[0]["id"], ANN)
    assert new_key(accounts, user_id)
    assert new_key(accounts, accounts.new()[0])
