"""Accounts in the backup directory: what changed is written, what did not is not, and little is remembered of each."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backup import accounts_keeper
from backup.accounts_keeper import AccountsKeeper

BYTES_MAX = 250
"""A number, sixteen bytes and their place; an account takes 1.4 KB."""


class Users:
    """The users service, two accounts to a page."""

    def __init__(self, count: int, page: int = 2) -> None:
        self.page = page
        self.items: list[dict[str, Any]] = [_account(number) for number in range(1, count + 1)]

    def __call__(self, method: str, limit: int, after: str | None) -> dict[str, Any]:
        assert method == "list"
        begin = int(after or 0)
        following = begin + self.page
        items = [dict(item) for item in self.items[begin:following]]
        return {"items": items, "next": str(following) if following < len(self.items) else None}


def _account(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "login": f"person{number}",
        "name": f"Person {number}",
        "role": "user",
        "active": True,
        "quota_bytes": None,
        "created_at": "2026-11-24T10:00:00.000000Z",
        "updated_at": "2026-11-24T10:00:00.000000Z",
    }


def keeper_of(users: Users, monkeypatch: pytest.MonkeyPatch) -> AccountsKeeper:
    keeper = AccountsKeeper()
    monkeypatch.setattr(keeper, "_rpc", lambda: SimpleNamespace(outside_worker=lambda: users))
    return keeper


def test_only_what_changed_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All the first time, then one whose name is another, and one that is new."""
    users = Users(5)
    engine: Any = SimpleNamespace(home=SimpleNamespace(root=tmp_path, require_marker=lambda: None))
    keeper = keeper_of(users, monkeypatch)
    given: list[list[int]] = []
    really = accounts_keeper._write
    monkeypatch.setattr(
        accounts_keeper, "_write", lambda e, accounts: (given.append([a["id"] for a in accounts]), really(e, accounts))
    )
    known: dict[int, bytes] = {}
    keeper._write_changed(engine, known)
    assert given == [[1, 2], [3, 4], [5]]
    keeper._write_changed(engine, known)
    assert len(given) == 3
    users.items[3]["name"] = "Somebody else"
    users.items.append(_account(6))
    keeper._write_changed(engine, known)
    assert given[3:] == [[4], [6]]
    kept = [json.loads((tmp_path / "accounts" / f"{item['id']}.json").read_text()) for item in users.items]
    assert kept == users.items


def test_what_is_remembered_of_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the account itself: a hundred thousand would be 140 MB."""
    keeper = keeper_of(Users(2000, page=1000), monkeypatch)
    monkeypatch.setattr(accounts_keeper, "_write", lambda engine, accounts: None)
    known: dict[int, bytes] = {}
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        keeper._write_changed(SimpleNamespace(), known)  # type: ignore[arg-type]
        each = (tracemalloc.get_traced_memory()[0] - before) / len(known)
    finally:
        tracemalloc.stop()
    assert each < BYTES_MAX
