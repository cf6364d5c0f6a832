"""The tables. ``user`` and the first four columns of ``file`` are the schema the product was asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

TABLE_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""Binary collation: names are data and compare exactly; what ignores case has a column of its own."""

NEVER_REUSE_IDS = {**TABLE_OPTIONS, "sqlite_autoincrement": True}
"""The backup's history is filed by id: an id must never come to mean another file or user."""

NAME_KEY_CHARACTERS = 512
"""A name of 255 characters is at most this long once case is folded, but for a few ligatures, which are cut."""

FOLDER_CHARACTERS = 512

LOGIN_KEY_CHARACTERS = 570
"""190 characters, each at most three once case is folded."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime, stored naive with microseconds: MySQL's default DATETIME drops fractions."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        kind = mysql.DATETIME(fsp=6) if dialect.name in ("mysql", "mariadb") else DateTime()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class ExactText(TypeDecorator[str]):
    """Text in which spaces at the end count: what is found by it must be what was asked for. MariaDB's usual
    collations take ``"a"`` and ``"a "`` for the same."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        if dialect.name not in ("mysql", "mariadb"):
            return dialect.type_descriptor(self.impl)
        collation = "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"
        return dialect.type_descriptor(mysql.VARCHAR(cast(String, self.impl).length, collation=collation))


BigId = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite gives row ids only to columns declared INTEGER."""


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UserRow(Base):
    """An account. ``login_key`` is the login as it is compared: case folded."""

    __tablename__ = "user"
    __table_args__ = (NEVER_REUSE_IDS,)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    login: Mapped[str] = mapped_column(String(190))
    login_key: Mapped[str] = mapped_column(String(LOGIN_KEY_CHARACTERS), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    active: Mapped[bool] = mapped_column(Boolean)
    quota_bytes: Mapped[int | None] = mapped_column(BigInteger)
    token_version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class FileRow(Base):
    """A document. ``path`` is the blob's key; ``name_key`` the name without case and accents, for search and order.

    ``trashed`` says whether ``deleted_at`` is set: an index can begin with it. ``labels`` is their JSON; ``file_label``
    has them for searching.
    """

    __tablename__ = "file"
    __table_args__ = (
        Index("ix_file_list", "user_id", "trashed", "id"),
        *(
            Index(f"ix_file_list_{column}", "user_id", "trashed", column, "id")
            for column in ("name_key", "size", "created_at", "updated_at", "folder")
        ),
        Index("ix_file_path", "path"),
        Index("ix_file_deleted_at", "deleted_at"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    user_id: Mapped[int | None] = mapped_column(Integer, ForeignKey("user.id"))
    name: Mapped[str] = mapped_column(String(255))
    path: Mapped[str] = mapped_column(String(255))
    name_key: Mapped[str] = mapped_column(String(NAME_KEY_CHARACTERS))
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    protected_version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    trashed: Mapped[bool] = mapped_column(Boolean)
    folder: Mapped[str] = mapped_column(ExactText(FOLDER_CHARACTERS))
    labels: Mapped[str | None] = mapped_column(Text)


class JournalHeadRow(Base):
    """The one row whose lock orders the journal: ``last`` is the newest event_id, ``epoch`` names this journal."""

    __tablename__ = "journal_head"
    __table_args__ = (TABLE_OPTIONS,)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigInteger)
    epoch: Mapped[str] = mapped_column(String(36))


class FileEventRow(Base):
    """One change of one file. Written in the transaction of the change, never altered but for ``dispatched``."""

    __tablename__ = "file_event"
    __table_args__ = (
        Index("ix_file_event_user_id", "user_id", "event_id"),
        Index("ix_file_event_dispatched", "dispatched", "event_id"),
        Index("ix_file_event_path", "path", "event_id"),
        Index("ix_file_event_user_file", "user_id", "file_id", "version"),
        TABLE_OPTIONS,
    )

    event_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(32))
    file_id: Mapped[int] = mapped_column(Integer)
    user_id: Mapped[int | None] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(255))
    path: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[int | None] = mapped_column(Integer)
    folder: Mapped[str] = mapped_column(String(FOLDER_CHARACTERS))
    labels: Mapped[str | None] = mapped_column(Text)
    permanent: Mapped[bool] = mapped_column(Boolean)
    change_key: Mapped[str | None] = mapped_column(String(32), unique=True)
    dispatched: Mapped[bool] = mapped_column(Boolean)


Index("uq_file_event_file_id_version", FileEventRow.file_id, FileEventRow.version, unique=True)


class LeaseRow(Base):
    """Who may do a job that one process at a time should do, and until when."""

    __tablename__ = "lease"
    __table_args__ = (TABLE_OPTIONS,)

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
