"""Tables around ``file``: how it is found, what was asked before, what it takes up, how far the backup has come."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from docsave_services.db.models import TABLE_OPTIONS, Base, ExactText, UtcDateTime
from docsave_services.domain.labels import LABEL_CHARACTERS_MAX, VALUE_CHARACTERS_MAX
from docsave_services.domain.names import NAME_CHARACTERS_MAX
from docsave_services.domain.references import KEY_CHARACTERS_MAX, SYSTEM_CHARACTERS_MAX

IDEMPOTENCY_KEY_CHARACTERS = 255


class FileLabelRow(Base):
    """One label of one file, for searching; ``file.labels`` has the same for reading."""

    __tablename__ = "file_label"
    __table_args__ = (Index("ix_file_label_search", "user_id", "label", "value", "file_id"), TABLE_OPTIONS)

    file_id: Mapped[int] = mapped_column(Integer, ForeignKey("file.id"), primary_key=True, autoincrement=False)
    label: Mapped[str] = mapped_column(String(LABEL_CHARACTERS_MAX), primary_key=True)
    user_id: Mapped[int | None] = mapped_column(Integer)
    value: Mapped[str] = mapped_column(ExactText(VALUE_CHARACTERS_MAX))


class FileRefRow(Base):
    """The file that another system's reference stands for."""

    __tablename__ = "file_ref"
    __table_args__ = (TABLE_OPTIONS,)

    user_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    system: Mapped[str] = mapped_column(String(SYSTEM_CHARACTERS_MAX), primary_key=True)
    ref_key: Mapped[str] = mapped_column(ExactText(KEY_CHARACTERS_MAX), primary_key=True)
    name: Mapped[str] = mapped_column(ExactText(NAME_CHARACTERS_MAX), primary_key=True)
    file_id: Mapped[int] = mapped_column(Integer, ForeignKey("file.id"), index=True)


WHOLE_FILE = 0
"""In the place of a version: all of them."""


class FileHoldRow(Base):
    """A legal hold in force. The holds themselves lie in the backup directory; a file that is gone may have some."""

    __tablename__ = "file_hold"
    __table_args__ = (TABLE_OPTIONS,)

    file_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(Integer)


class IdempotencyKeyRow(Base):
    """A request that came with an ``Idempotency-Key``, and its outcome as JSON."""

    __tablename__ = "idempotency_key"
    __table_args__ = (TABLE_OPTIONS,)

    user_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(ExactText(IDEMPOTENCY_KEY_CHARACTERS), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    result: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class FileUsageRow(Base):
    """What a user's files take up, kept in the transactions that change them."""

    __tablename__ = "file_usage"
    __table_args__ = (TABLE_OPTIONS,)

    user_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    files: Mapped[int] = mapped_column(BigInteger)
    used_bytes: Mapped[int] = mapped_column(BigInteger)


class BackupProgressRow(Base):
    """The one row that says up to which entry of which journal everything is copied."""

    __tablename__ = "backup_progress"
    __table_args__ = (TABLE_OPTIONS,)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    epoch: Mapped[str] = mapped_column(String(36))
    event_id: Mapped[int] = mapped_column(BigInteger)
