"""Sessions: logging in, refreshing, logging out.

A session is a family of refresh tokens, each spent by the next. The next token follows from the spent one by a keyed
hash with a random salt, so that a client whose answer was lost can ask again within ``GRACE_SECONDS`` and gets the
very same token; only hashes are stored. Once the next token has been used, or later, a spent token presented again
means that two parties hold it, and the whole session ends (RFC 9700, section 4.14.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from docsave_services.contracts import LiveSession, Role, TokenPair
from docsave_services.db.account_models import (
    ADDRESS_CHARACTERS,
    AGENT_CHARACTERS,
    RefreshTokenRow,
    SessionRow,
)
from docsave_services.db.audit import Actor, record
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.domain.ids import is_id
from docsave_services.errors import BadCredentials, InvalidInput, NotFound, Unauthenticated
from docsave_services.log import get_logger
from docsave_services.times import now, to_text
from docsave_services.tokens import ACCESS_TOKEN_SECONDS, KeyRing, issue_access_token
from docsave_services.users.revoked import revoke
from docsave_services.users.validation import text

_log = get_logger(__name__)

REFRESH_SECONDS = 7 * 24 * 3600
"""How long a refresh token may lie unused."""

SESSION_SECONDS = 90 * 24 * 3600
"""How long a session lasts however often it is refreshed; then the password is asked for again."""

GRACE_SECONDS = 10
"""How long a spent token may be presented again by a client whose answer was lost."""

PREFIX = "dsr_"
"""Lets people and secret scanners recognise a refresh token."""

TOKEN_CHARACTERS_MAX = 200

SHOWN_MAX = 1000
"""Sessions that a list shows, the newest; nobody has more who is not under attack."""


def open_session(
    transactions: Transactions, keys: KeyRing, user: UserRow, address: str | None, agent: str | None
) -> TokenPair:
    """A new session of ``user``, whose password was verified against the row as it is given here.

    ``BadCredentials`` when the account was disabled or its password changed in between.
    """
    token = PREFIX + secrets.token_urlsafe(32)
    actor = Actor(user.id, address, uuid.uuid4().hex)

    def start(session: Session) -> TokenPair:
        present = session.get(UserRow, user.id, with_for_update=True)
        if present is None or not present.active or present.password_hash != user.password_hash:
            raise BadCredentials
        moment = now()
        row = SessionRow(
            id=actor.session_id,
            user_id=user.id,
            address=actor.address[:ADDRESS_CHARACTERS] if actor.address else None,
            agent=_printable(agent),
            created_at=moment,
            last_used_at=moment,
            expires_at=moment + timedelta(seconds=REFRESH_SECONDS),
            revoked_at=None,
        )
        session.add(row)
        session.flush()
        _add_token(session, row, token)
        record(session, "login", user.id, actor)
        return _pair(keys, present, row, token)

    return transactions.write(start)


def refresh(transactions: Transactions, keys: KeyRing, refresh_token: str, address: str | None) -> TokenPair:
    """Trade a refresh token for a new pair. ``Unauthenticated`` for one that is unknown, expired, revoked or reused."""
    token = _checked(refresh_token)
    pair = transactions.write(lambda s: _rotate(s, keys, token, address))
    if pair is None:
        raise Unauthenticated("The refresh token is not valid.")
    return pair


def log_out(transactions: Transactions, refresh_token: str, address: str | None) -> None:
    """End the session of a refresh token, also of a spent one. Nothing happens for a token that is unknown."""
    token = _checked(refresh_token)

    def end(session: Session) -> None:
        found = _find(session, token)
        if found is None or found[1].revoked_at is not None:
            return
        row = found[1]
        row.revoked_at = now()
        record(session, "logout", row.user_id, Actor(row.user_id, address, row.id))
        revoke(session, [("session", row.id, None)])

    transactions.write(end, repeatable=True)


def list_sessions(transactions: Transactions, user_id: int) -> list[LiveSession]:
    """The user's live sessions, newest first, ``SHOWN_MAX`` at most."""
    if not is_id(user_id):
        raise NotFound
    return [_as_live(row) for row in transactions.read(lambda s: live_sessions(s, user_id, SHOWN_MAX))]


def end_own_session(transactions: Transactions, user_id: int, session_id: str, actor: Actor) -> None:
    """End one session; ``NotFound`` when the user has no such live one."""
    wanted = text("session", session_id)

    def end(session: Session) -> None:
        if not is_id(user_id) or end_session(session, wanted, actor, user_id) is None:
            raise NotFound

    transactions.write(end)


def end_other_sessions(transactions: Transactions, user_id: int, kept: str, actor: Actor) -> int:
    """End every session of the user but ``kept``; returns how many."""
    kept = text("session_id", kept)

    def end(session: Session) -> int:
        ended = revoke_sessions(session, user_id, kept)
        if ended:
            record(session, "sessions_revoked", user_id, actor, sessions=len(ended))
            revoke(session, [("session", session_id, None) for session_id in ended])
        return len(ended)

    if not is_id(user_id):
        raise NotFound
    return transactions.write(end, repeatable=True)


def revoke_sessions(session: Session, user_id: int, kept: str | None = None) -> list[str]:
    """Mark every live session of a user, but ``kept``, as revoked and return their ids; the caller says what ends
    their tokens."""
    query = (
        select(SessionRow)
        .where(SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None), SessionRow.id != (kept or ""))
        .order_by(SessionRow.id)
        .with_for_update()
    )
    moment = now()
    rows = session.scalars(query).all()
    for row in rows:
        row.revoked_at = moment
    return [row.id for row in rows]


def end_session(session: Session, session_id: str, actor: Actor, owner: int | None = None) -> SessionRow | None:
    """Revoke one session; None when there is no such live one, or not one of ``owner``."""
    row = session.get(SessionRow, session_id, with_for_update=True)
    if row is None or row.revoked_at is not None or row.expires_at <= now() or owner not in (None, row.user_id):
        return None
    row.revoked_at = now()
    record(session, "sessions_revoked", row.user_id, actor, sessions=1)
    revoke(session, [("session", row.id, None)])
    return row


def live_sessions(session: Session, user_id: int | None, limit: int | None = None) -> Sequence[SessionRow]:
    """Sessions that can still be refreshed, of one user or of all, newest first."""
    query = select(SessionRow).where(SessionRow.revoked_at.is_(None), SessionRow.expires_at > now())
    if user_id is not None:
        query = query.where(SessionRow.user_id == user_id)
    return session.scalars(query.order_by(SessionRow.created_at.desc(), SessionRow.id).limit(limit)).all()


def forget_old(session: Session) -> None:
    """Drop tokens and sessions that have run out: presenting one is an unknown token from then on."""
    moment = now()
    session.execute(delete(RefreshTokenRow).where(RefreshTokenRow.expires_at < moment))
    gone = select(SessionRow.id).where(SessionRow.expires_at < moment)
    session.execute(delete(RefreshTokenRow).where(RefreshTokenRow.session_id.in_(gone)))
    session.execute(delete(SessionRow).where(SessionRow.expires_at < moment))


def _rotate(session: Session, keys: KeyRing, token: str, address: str | None) -> TokenPair | None:
    """The next pair; None for a refusal, which may itself have changed something that must be committed."""
    found = _find(session, token)
    if found is None:
        return None
    spent, row = found
    user = session.get(UserRow, row.user_id)
    moment = now()
    if row.revoked_at is not None or user is None or not user.active or spent.expires_at <= moment:
        return None
    if spent.spent_at is None:
        spent.spent_at, spent.salt = moment, secrets.token_hex(32)
        successor = _successor(keys.current, token, spent.salt)
        row.last_used_at = moment
        row.expires_at = min(
            moment + timedelta(seconds=REFRESH_SECONDS), row.created_at + timedelta(seconds=SESSION_SECONDS)
        )
        _add_token(session, row, successor)
        return _pair(keys, user, row, successor)
    again = _again(session, keys, spent, token, moment)
    if again is not None:
        return _pair(keys, user, row, again)
    row.revoked_at = moment
    record(session, "refresh_reused", row.user_id, Actor(None, address, row.id))
    revoke(session, [("session", row.id, None)])
    _log.warning("refresh_token_reused", user_id=row.user_id, session_id=row.id)
    return None


def _again(session: Session, keys: KeyRing, spent: RefreshTokenRow, token: str, moment: datetime) -> str | None:
    """The token that followed ``spent``, when nobody has used it and the grace has not passed."""
    if spent.spent_at is None or spent.salt is None or moment - spent.spent_at > timedelta(seconds=GRACE_SECONDS):
        return None
    for key in keys.keys:
        successor = _successor(key, token, spent.salt)
        row = session.get(RefreshTokenRow, _hash(successor))
        if row is not None:
            return successor if row.spent_at is None else None
    return None


def _find(session: Session, token: str) -> tuple[RefreshTokenRow, SessionRow] | None:
    """The token and its session, both locked, the session first: two refreshes of one family queue there."""
    session_id = session.scalar(select(RefreshTokenRow.session_id).where(RefreshTokenRow.token_hash == _hash(token)))
    if session_id is None:
        return None
    row = session.get(SessionRow, session_id, with_for_update=True)
    known = session.get(RefreshTokenRow, _hash(token), with_for_update=True)
    return None if row is None or known is None else (known, row)


def _add_token(session: Session, row: SessionRow, token: str) -> None:
    session.add(
        RefreshTokenRow(token_hash=_hash(token), session_id=row.id, expires_at=row.expires_at, spent_at=None, salt=None)
    )
    session.flush()


def _pair(keys: KeyRing, user: UserRow, row: SessionRow, token: str) -> TokenPair:
    role: Role = "admin" if user.role == "admin" else "user"
    return {
        "access_token": issue_access_token(keys, user.id, role, session_id=row.id, version=user.token_version),
        "token_type": "Bearer",
        "expires_in": ACCESS_TOKEN_SECONDS,
        "refresh_token": token,
    }


def _as_live(row: SessionRow) -> LiveSession:
    return {
        "id": row.id,
        "created_at": to_text(row.created_at),
        "last_used_at": to_text(row.last_used_at),
        "address": row.address,
        "agent": row.agent,
    }


def _successor(key: str, token: str, salt: str) -> str:
    digest = hmac.new(key.encode(), f"docsave refresh\n{salt}\n{token}".encode(), hashlib.sha256).digest()
    return PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _hash(token: str) -> str:
    """The tokens are random and long: a plain hash cannot be turned back (ASVS 2.9.1)."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checked(token: Any) -> str:
    if not isinstance(token, str):
        raise InvalidInput.for_field("refresh_token", "must be a string")
    if not token.isascii() or len(token) > TOKEN_CHARACTERS_MAX:
        raise Unauthenticated("The refresh token is not valid.")
    return token


def _printable(agent: Any) -> str | None:
    if not isinstance(agent, str) or not agent:
        return None
    return "".join(c if c.isprintable() else "?" for c in agent)[:AGENT_CHARACTERS]
