"""Logging in: the throttle first, then the password, then a session."""

from __future__ import annotations

from sqlalchemy.orm import Session

from docsave_services.contracts import TokenPair, User
from docsave_services.db.audit import Actor
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.tokens import KeyRing
from docsave_services.users.handlers import find_login, verify_credentials
from docsave_services.users.passwords import place_in_line
from docsave_services.users.rows import as_user
from docsave_services.users.sessions import open_session
from docsave_services.users.throttle import Attempt


def authenticate(transactions: Transactions, login: str, password: str, address: str | None) -> User:
    """The user with these credentials; ``BadCredentials``, or ``TooManyRequests`` after repeated failures."""
    return as_user(_verified(transactions, login, password, address))


def log_in(
    transactions: Transactions, keys: KeyRing, login: str, password: str, address: str | None, agent: str | None
) -> TokenPair:
    """A new session for the user with these credentials; refused like ``authenticate``."""
    return open_session(transactions, keys, _verified(transactions, login, password, address), address, agent)


def _verified(transactions: Transactions, login: str, password: str, address: str | None) -> UserRow:
    actor = Actor(None, address)

    def whose(session: Session) -> int | None:
        row = find_login(session, login)
        return row.id if row else None

    with place_in_line() as turn_by, Attempt(transactions, login, actor, whose):
        return verify_credentials(transactions, login, password, actor, turn_by)
