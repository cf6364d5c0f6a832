"""The tables around accounts: sessions, API keys, revocations, throttles and the audit trail."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from docsave_services.db.models import NEVER_REUSE_IDS, TABLE_OPTIONS, Base, BigId, UtcDateTime

ADDRESS_CHARACTERS = 64
AGENT_CHARACTERS = 255
DETAIL_CHARACTERS = 1000


class SessionRow(Base):
    """One log-in and everything that was refreshed from it: a family of refresh tokens."""

    __tablename__ = "session"
    __table_args__ = (Index("ix_session_user_id", "user_id", "revoked_at"), TABLE_OPTIONS)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, ForeignKey("user.id"))
    address: Mapped[str | None] = mapped_column(String(ADDRESS_CHARACTERS))
    agent: Mapped[str | None] = mapped_column(String(AGENT_CHARACTERS))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RefreshTokenRow(Base):
    """A refresh token, by its hash. ``salt`` is set when it is spent; the next token follows from it."""

    __tablename__ = "refresh_token"
    __table_args__ = (TABLE_OPTIONS,)

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(32), ForeignKey("session.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    spent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    salt: Mapped[str | None] = mapped_column(String(64))


class RevocationRow(Base):
    """Something whose tokens may still look valid. Numbered in commit order, like the journal."""

    __tablename__ = "revocation"
    __table_args__ = (TABLE_OPTIONS,)

    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(32))
    min_version: Mapped[int | None] = mapped_column(Integer)
    until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class RevocationHeadRow(Base):
    """The one row whose lock orders the revocations."""

    __tablename__ = "revocation_head"
    __table_args__ = (TABLE_OPTIONS,)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigId)


class ApiKeyRow(Base):
    """A key for a program: its hash, and what may be shown of it."""

    __tablename__ = "api_key"
    __table_args__ = (NEVER_REUSE_IDS,)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    user_id: Mapped[int] = mapped_column(Integer, ForeignKey("user.id"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    prefix: Mapped[str] = mapped_column(String(16))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ThrottleRow(Base):
    """Failed log-ins of one origin; ``subject`` is a hash of what is counted, so that it shows no login."""

    __tablename__ = "login_throttle"
    __table_args__ = (TABLE_OPTIONS,)

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    pending: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """Who did what, when and from where. Triggers refuse to change or delete a row."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_user_id", "user_id", "id"),
        Index("ix_audit_entry_action", "action", "id"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    action: Mapped[str] = mapped_column(String(32))
    user_id: Mapped[int | None] = mapped_column(Integer)
    by: Mapped[int | None] = mapped_column(Integer)
    address: Mapped[str | None] = mapped_column(String(ADDRESS_CHARACTERS))
    session_id: Mapped[str | None] = mapped_column(String(32))
    key_id: Mapped[int | None] = mapped_column(Integer)
    detail: Mapped[str] = mapped_column(String(DETAIL_CHARACTERS))
