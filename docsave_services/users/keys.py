"""API keys: for programs that act as a user, within scopes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from docsave_services.contracts import SCOPES, ApiKey, NewApiKey, Role, VerifiedKey
from docsave_services.db import audit
from docsave_services.db.account_models import ApiKeyRow
from docsave_services.db.audit import Actor
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.domain import accounts
from docsave_services.domain.ids import is_id
from docsave_services.errors import DatabaseUnavailable, InvalidInput, NotFound, TooManyKeys, Unauthenticated
from docsave_services.log import get_logger
from docsave_services.times import from_text, now, to_text
from docsave_services.users.handlers import find_user
from docsave_services.users.revoked import revoke
from docsave_services.users.validation import text

_log = get_logger(__name__)

PREFIX = "dsk_"
"""Lets people and secret scanners recognise a key."""

SECRET_BYTES = 32
SHOWN_CHARACTERS = 12
"""The prefix and eight characters more: enough to tell keys apart, of no use to who guesses the other 35."""

KEY_CHARACTERS_MAX = 200
KEYS_MAX = 100
"""Live keys of one account."""

LAST_USED_EVERY = timedelta(minutes=1)
DEFAULT_NAME = "API key"


def create_key(
    transactions: Transactions,
    user_id: int,
    name: str | None,
    scopes: Sequence[str],
    expires_at: str | None,
    actor: Actor,
) -> NewApiKey:
    """A new key of the user; its ``key`` is shown this once, only its hash is stored.

    ``InvalidInput`` for unknown scopes, none at all or an end in the past, ``TooManyKeys`` above ``KEYS_MAX``.
    """
    name = _checked_name(name)
    wanted, end = _checked_scopes(scopes), _checked_end(expires_at)
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)

    def add(session: Session) -> NewApiKey:
        if not find_user(session, user_id, lock=True).active:
            raise NotFound
        live = select(func.count()).select_from(ApiKeyRow).where(_live(user_id))
        if (session.scalar(live) or 0) >= KEYS_MAX:
            raise TooManyKeys
        row = ApiKeyRow(
            user_id=user_id,
            name=name,
            prefix=secret[:SHOWN_CHARACTERS],
            key_hash=_hash(secret),
            scopes=" ".join(wanted),
            created_at=now(),
            expires_at=end,
            last_used_at=None,
            revoked_at=None,
        )
        session.add(row)
        session.flush()
        audit.record(session, "key_created", user_id, actor, key=row.id, prefix=row.prefix, scopes=wanted)
        return {**_as_key(row), "key": secret}

    return transactions.write(add)


def list_keys(transactions: Transactions, user_id: int) -> list[ApiKey]:
    """The user's keys that are not revoked, oldest first; expired ones too, so that their owner sees why they fail."""
    if not is_id(user_id):
        raise NotFound
    query = select(ApiKeyRow).where(ApiKeyRow.user_id == user_id, ApiKeyRow.revoked_at.is_(None)).order_by(ApiKeyRow.id)
    return [_as_key(row) for row in transactions.read(lambda s: s.scalars(query).all())]


def revoke_key(transactions: Transactions, user_id: int, key_id: int, actor: Actor) -> None:
    """End a key at once; ``NotFound`` when the user has no such live key."""

    def end(session: Session) -> None:
        row = session.get(ApiKeyRow, key_id, with_for_update=True) if is_id(key_id) else None
        if row is None or row.user_id != user_id or row.revoked_at is not None:
            raise NotFound
        row.revoked_at = now()
        audit.record(session, "key_revoked", user_id, actor, key=row.id, prefix=row.prefix)
        revoke(session, [("key", row.id, None)])

    transactions.write(end)


def verify_key(transactions: Transactions, key: str) -> VerifiedKey:
    """Who acts with ``key``. ``Unauthenticated``, always with the same text, for one that is unknown, expired or
    revoked, or whose owner is disabled."""
    if not isinstance(key, str) or not key.isascii() or not key.startswith(PREFIX) or len(key) > KEY_CHARACTERS_MAX:
        raise Unauthenticated
    query = select(ApiKeyRow, UserRow).join(UserRow, UserRow.id == ApiKeyRow.user_id)
    found = transactions.read(lambda s: s.execute(query.where(ApiKeyRow.key_hash == _hash(key))).one_or_none())
    if found is None:
        raise Unauthenticated
    row, user = found
    moment = now()
    if row.revoked_at is not None or not user.active or (row.expires_at is not None and row.expires_at <= moment):
        raise Unauthenticated
    _note_use(transactions, row, moment)
    role: Role = "admin" if user.role == "admin" else "user"
    return {
        "key_id": row.id,
        "user_id": user.id,
        "role": role,
        "version": user.token_version,
        "scopes": row.scopes.split(),
        "expires_at": None if row.expires_at is None else to_text(row.expires_at),
    }


def _note_use(transactions: Transactions, row: ApiKeyRow, moment: datetime) -> None:
    if row.last_used_at is not None and moment - row.last_used_at < LAST_USED_EVERY:
        return
    note = update(ApiKeyRow).where(ApiKeyRow.id == row.id).values(last_used_at=moment)
    try:
        transactions.write(lambda s: s.execute(note), repeatable=True)
    except DatabaseUnavailable as exc:
        _log.warning("key_use_not_noted", key_id=row.id, error=exc.code)  # the key is good all the same


def _live(user_id: int) -> Any:
    unexpired = or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now())
    return (ApiKeyRow.user_id == user_id) & ApiKeyRow.revoked_at.is_(None) & unexpired


def _checked_name(name: str | None) -> str:
    name = DEFAULT_NAME if name is None else text("name", name)
    problem = accounts.name_problem(name)
    if problem:
        raise InvalidInput.for_field("name", problem)
    return name


def _checked_scopes(scopes: Any) -> list[str]:
    valid = isinstance(scopes, list | tuple) and scopes and all(isinstance(s, str) and s in SCOPES for s in scopes)
    if not valid:
        raise InvalidInput.for_field("scopes", f"must be a list of at least one of {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in scopes]


def _checked_end(expires_at: Any) -> datetime | None:
    if expires_at is None:
        return None
    end = from_text("expires_at", expires_at)
    if end <= datetime.now(UTC):
        raise InvalidInput.for_field("expires_at", "must be in the future")
    return end


def _hash(key: str) -> str:
    """Keys are random and long: a plain hash cannot be turned back, and it can be looked up (ASVS 2.9.1)."""
    return hashlib.sha256(key.encode()).hexdigest()


def _as_key(row: ApiKeyRow) -> ApiKey:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes.split(),
        "created_at": to_text(row.created_at),
        "expires_at": None if row.expires_at is None else to_text(row.expires_at),
        "last_used_at": None if row.last_used_at is None else to_text(row.last_used_at),
    }
