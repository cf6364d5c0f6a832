"""Logging in: the throttle first, then the password, then a session."""

from __future__ import annotations

from prometheus_client import Counter
from sqlalchemy.orm import Session

from docsave_services.contracts import TokenPair, User
from docsave_services.db.audit import Actor
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.errors import DocsaveError
from docsave_services.metrics.instruments import INTERNAL, OK
from docsave_services.metrics.registry import REGISTRY
from docsave_services.tokens import KeyRing
from docsave_services.users.handlers import find_login, verify_credentials
from docsave_services.users.passwords import place_in_line
from docsave_services.users.rows import as_user
from docsave_services.users.sessions import open_session
from docsave_services.users.throttle import Attempt

LOG_INS = Counter(
    "docsave_logins_total",
    "Attempts to log in by how they ended: ok, bad_credentials, too_many_requests while throttled.",
    ("outcome",),
    registry=REGISTRY,
)


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

    outcome = INTERNAL
    try:
        with place_in_line() as turn_by, Attempt(transactions, login, actor, whose):
            user = verify_credentials(transactions, login, password, actor, turn_by)
            outcome = OK
            return user
    except DocsaveError as exc:
        outcome = exc.code
        raise
    finally:
        LOG_INS.labels(outcome).inc()
