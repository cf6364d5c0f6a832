"""Accounts in the backup directory: ``accounts/<id>.json``, what an administrator sees of each, and never a password
or its hash. They are what they were last, not a history. Blocking."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from docsave_services.contracts import UserDetails
from docsave_services.storage.durable import make_directories, write_file

ACCOUNTS = "accounts"
DIRECTORY_MODE = 0o750

_TEXTS = ("login", "name", "role", "created_at", "updated_at")


def write_accounts(root: Path, accounts: Iterable[UserDetails]) -> int:
    """Write those that differ from what is there, each durable; how many."""
    directory, written = root / ACCOUNTS, 0
    make_directories(directory, DIRECTORY_MODE)
    for account in accounts:
        path = directory / f"{account['id']}.json"
        text = (json.dumps(account, indent=2, ensure_ascii=False) + "\n").encode()
        if _bytes(path) != text:
            write_file(path, text)
            written += 1
    return written


def read_accounts(root: Path) -> tuple[dict[int, UserDetails], list[str]]:
    """The accounts by their ids, and the names of files that cannot be read."""
    accounts: dict[int, UserDetails] = {}
    bad: list[str] = []
    for path in sorted((root / ACCOUNTS).glob("[0-9]*.json")):
        account = _account(path)
        if account is None:
            bad.append(f"{ACCOUNTS}/{path.name}")
        else:
            accounts[account["id"]] = account
    return accounts, bad


def _account(path: Path) -> UserDetails | None:
    try:
        found: Any = json.loads(path.read_bytes())
        quota = found["quota_bytes"]
        sound = (
            type(found["id"]) is int
            and path.name == f"{found['id']}.json"
            and all(isinstance(found[key], str) for key in _TEXTS)
            and isinstance(found["active"], bool)
            and (quota is None or type(quota) is int)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return cast(UserDetails, found) if sound else None


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
