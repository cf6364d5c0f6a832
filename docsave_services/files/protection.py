"""Remembering which version of a file the backup holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from docsave_services.contracts import ProtectedVersion
from docsave_services.db import journal
from docsave_services.db.file_models import BackupProgressRow
from docsave_services.db.models import FileRow
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.ids import is_id
from docsave_services.errors import InvalidInput

PROTECTED_MAX = 1000


def mark_protected(session: Session, items: Sequence[Any]) -> list[ProtectedVersion]:
    """Raise ``protected_version`` of each file to the version in its item; a lower one changes nothing.

    ``items`` are ``{"file_id", "version"}``. Returns the versions that were news.
    """
    if not isinstance(items, list) or len(items) > PROTECTED_MAX:
        raise InvalidInput.for_field("items", f"must be a list of at most {PROTECTED_MAX}")
    newest: dict[int, int] = {}
    for item in items:
        file_id, version = _pair(item)
        newest[file_id] = max(version, newest.get(file_id, 0))
    if not newest:
        return []
    # In the order of ids, as every writer of several files locks them.
    rows = session.scalars(select(FileRow).where(FileRow.id.in_(newest)).order_by(FileRow.id).with_for_update())
    news: list[ProtectedVersion] = []
    for row in rows:
        if row.protected_version < newest[row.id]:
            row.protected_version = newest[row.id]
            news.append({"id": row.id, "user_id": row.user_id or 0, "version": row.protected_version})
    return news


def remember_progress(session: Session, through: str) -> None:
    """Keep the backup's word that everything up to the cursor ``through`` is copied. One of another journal is not
    about this one and is left out; a lower one counts: the backup may have begun again in an empty directory."""
    try:
        cursor = Cursor.parse(through) if isinstance(through, str) else None
    except ValueError:
        cursor = None
    if cursor is None:
        raise InvalidInput.for_field("through", "is not a cursor")
    newest = journal.head(session)
    if cursor.epoch == newest.epoch and cursor.event_id <= newest.event_id:
        session.merge(BackupProgressRow(id=1, epoch=cursor.epoch, event_id=cursor.event_id))


def copied_through(session: Session) -> int | None:
    """The newest entry of this journal up to which all content is safe in the backup; None when nobody said so."""
    row = session.get(BackupProgressRow, 1)
    return row.event_id if row is not None and row.epoch == journal.head(session).epoch else None


def _pair(item: Any) -> tuple[int, int]:
    if isinstance(item, dict):
        file_id, version = item.get("file_id"), item.get("version")
        if is_id(file_id) and is_id(version):
            return file_id, version
    raise InvalidInput.for_field("items", "each must have a file_id and a version")
