"""Administrators on a real database: what only they change, and that one always remains."""

from collections.abc import Iterator
from typing import Any

import eventlet
import pytest

from docsave_services.db.audit import Actor
from docsave_services.errors import (
    DocsaveError,
    InvalidInput,
    LastAdministrator,
)
from docsave_services.users import handlers
from tests.support.accounts import PASSWORD, Accounts, open_accounts

ANN = Actor(1, "192.0.2.7", "5" * 32, None)


@pytest.fixture
def accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with open_accounts(database_uri, monkeypatch) as opened:
        yield opened


@pytest.mark.parametrize("powers", [{"role": "user"}, {"active": False}, {"role": "user", "active": False}])
def test_the_last_administrator_stays(accounts: Accounts, powers: dict[str, Any]) -> None:
    """Neither lowered nor disabled; a disabled or a former administrator does not count as another one."""
    user_id, _ = accounts.new("admin")
    accounts.new()
    for change in ({"active": False}, {"role": "user"}):
        accounts.update(accounts.new("admin")[0], **change)
    before = handlers.get_user(accounts.db, user_id)
    with pytest.raises(LastAdministrator):
        accounts.update(user_id, **powers)
    assert handlers.get_user(accounts.db, user_id) == before


def test_administrators_who_disable_each_other_leave_one(accounts: Accounts) -> None:
    """All at once, in any order."""
    ids = [accounts.new("admin")[0] for _ in range(4)]

    def attempt(user_id: int) -> str:
        try:
            accounts.update(user_id, active=False)
        except DocsaveError as exc:
            return exc.code
        return "disabled"

    threads = [eventlet.spawn(attempt, user_id) for user_id in ids]
    assert sorted(t.wait() for t in threads) == ["disabled"] * 3 + ["last_administrator"]
    assert [handlers.get_user(accounts.db, i)["active"] for i in ids].count(True) == 1


def test_an_administrator_sets_role_active_and_quota(accounts: Accounts) -> None:
    """And takes the quota away again; what is not given stays."""
    user_id, _ = accounts.new()
    accounts.update(user_id, role="admin", quota_bytes=10)
    accounts.update(user_id, active=True)
    details = handlers.get_user_details(accounts.db, user_id)
    assert (details["role"], details["active"], details["quota_bytes"]) == ("admin", True, 10)
    accounts.update(user_id, quota_bytes=None)
    assert handlers.get_user_details(accounts.db, user_id)["quota_bytes"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("role", "root"), ("role", 1), ("active", 1), ("active", "no"), ("quota_bytes", -1), ("quota_bytes", True),
     ("quota_bytes", "10"), ("quota_bytes", 2**63), ("quota_bytes", 1.5)],
)  # fmt: skip
def test_a_wrong_power_is_named(accounts: Accounts, field: str, value: Any) -> None:
    """422 with the field, nothing changed."""
    user_id, _ = accounts.new()
    with pytest.raises(InvalidInput) as caught:
        accounts.update(user_id, **{field: value})
    assert [e["field"] for e in caught.value.errors] == [field]


def test_a_page_of_accounts_goes_on_where_it_ended(accounts: Accounts) -> None:
    """Oldest first, none twice, none left out, also while accounts are added."""
    ids = [accounts.new()[0] for _ in range(5)]
    first = handlers.page_users(accounts.db, 2, None, None)
    ids.append(accounts.new()[0])
    rest = handlers.page_users(accounts.db, 10, first["next"], None)
    assert [u["id"] for u in first["items"] + rest["items"]] == ids
    assert rest["next"] is None
    assert "quota_bytes" in first["items"][0]


def test_a_search_ignores_case_and_takes_wildcards_as_they_are(accounts: Accounts) -> None:
    """`%` and `_` are letters here."""
    for login in ("Ann.Smith", "ann_smith", "bob"):
        handlers.create_user(accounts.db, login, PASSWORD, None, "user")

    def found(q: str) -> list[str]:
        return [u["login"] for u in handlers.page_users(accounts.db, 10, None, q)["items"]]

    assert found("ANN") == ["Ann.Smith", "ann_smith"]
    assert found("n_s") == ["ann_smith"]
    assert found("%") == []


@pytest.mark.parametrize(("limit", "after"), [(0, None), (1001, None), ("5", None), (True, None), (5, "x"), (5, 3)])
def test_a_page_that_cannot_be_is_refused(accounts: Accounts, limit: Any, after: Any) -> None:
    """A named error."""
    with pytest.raises(InvalidInput):
        handlers.page_users(accounts.db, limit, after, None)
