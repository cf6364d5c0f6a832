"""Accounts, log-ins and a clock to try on a database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from docsave_services.contracts import AuditEntry, Revocation, Role, TokenPair
from docsave_services.db import audit
from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.tokens import Identity, KeyRing, verify_access_token
from docsave_services.users import handlers, keys, log_in, revoked, sessions, throttle
from docsave_services.users.handlers import Powers
from tests.support.databases import prepare
from tests.support.documents import use_quick_hashes

PASSWORD = "correct horse battery"
RING = KeyRing("k" * 48)
TIMED = (sessions, revoked, throttle, keys, handlers, audit)


class Accounts:
    """A migrated database and the use cases on it."""

    def __init__(self, database_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        use_quick_hashes(monkeypatch)
        prepare(database_uri)
        self.uri = database_uri
        self.db = Transactions(make_engine(database_uri))
        self._monkeypatch = monkeypatch
        self._now = sessions.now

    def new(self, role: Role = "user") -> tuple[int, str]:
        """Another account: its id and its login."""
        login = f"user-{uuid.uuid4().hex[:10]}"
        return handlers.create_user(self.db, login, PASSWORD, None, role)["id"], login

    def log_in(self, login: str, password: str = PASSWORD, address: str | None = "192.0.2.1") -> TokenPair:
        """A session."""
        return log_in.log_in(self.db, RING, login, password, address, "a browser")

    def refresh(self, pair: TokenPair) -> TokenPair:
        """Spend the pair's refresh token."""
        return sessions.refresh(self.db, RING, pair["refresh_token"], "192.0.2.2")

    def update(self, user_id: int, **powers: Any) -> None:
        """What an administrator does to an account."""
        handlers.update_user(self.db, user_id, {}, None, False, Powers(**powers))

    def identity(self, pair: TokenPair) -> Identity:
        """Who the access token says acts, revoked or not."""
        return verify_access_token(RING, pair["access_token"])

    def revocations(self, since: int | None = None) -> list[Revocation]:
        """What was revoked after a place."""
        return self.db.read(lambda s: revoked.read(s, since))["items"]

    def refused(self, pair: TokenPair) -> bool:
        """Whether a process that knows all revocations refuses the access token."""
        who = self.identity(pair)
        return any(
            (item["kind"] == "session" and item["id"] == who.session_id)
            or (item["kind"] == "user" and item["id"] == who.user_id and who.version < (item["min_version"] or 0))
            for item in self.revocations()
        )

    def trail(self, **filters: Any) -> list[AuditEntry]:
        """The audit trail, newest first."""
        return self.db.read(lambda s: audit.read(s, 1000, None, **filters))["items"]

    def count(self, table: str) -> int:
        """Rows in a table."""
        return int(self.db.read(lambda s: s.scalar(text(f"SELECT COUNT(*) FROM {table}"))) or 0)  # noqa: S608

    def later(self, seconds: float) -> None:
        """From now on the use cases see a clock that is this much ahead of the real one."""
        for module in TIMED:
            self._monkeypatch.setattr(module, "now", lambda: self._now() + timedelta(seconds=seconds))


@contextmanager
def open_accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    """``Accounts`` on that database."""
    accounts = Accounts(database_uri, monkeypatch)
    try:
        yield accounts
    finally:
        accounts.db.engine.dispose()
