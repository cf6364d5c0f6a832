"""The journal: one row a change, numbered 1, 2, 3… in commit order.

``append`` comes last in a transaction. It locks the one row of ``journal_head`` and holds it until the commit, so
that nobody ever sees a number before a lower one. Readers may therefore go on from the highest number they saw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from docsave_services.contracts import CHANGES_LIMIT_MAX, ChangesPage, FileEvent
from docsave_services.db.models import FileEventRow, JournalHeadRow
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import CursorExpired, InvalidInput
from docsave_services.times import to_text


def append(session: Session, entries: Sequence[dict[str, Any]]) -> list[FileEvent]:
    """Number ``entries`` (columns of ``file_event`` without ``event_id``) and add them; nothing may follow but
    the commit."""
    if not entries:
        return []
    session.flush()
    session.execute(update(JournalHeadRow).values(last=JournalHeadRow.last + len(entries)))
    last, epoch = session.execute(select(JournalHeadRow.last, JournalHeadRow.epoch)).one()
    first = last - len(entries) + 1
    rows = [{**entry, "event_id": first + n, "dispatched": False} for n, entry in enumerate(entries)]
    session.execute(insert(FileEventRow), rows)
    return [_as_event(row, epoch) for row in rows]


def head(session: Session) -> Cursor:
    """The newest place in the journal."""
    last, epoch = session.execute(select(JournalHeadRow.last, JournalHeadRow.epoch)).one()
    return Cursor(epoch, last)


def read(session: Session, since: str | int | None, limit: int, user_id: int | None) -> ChangesPage:
    """Up to ``limit`` events after ``since``, of everybody or of one user's files.

    Raises ``CursorExpired`` for a place of another journal or one that does not exist yet.
    """
    if not 1 <= limit <= CHANGES_LIMIT_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {CHANGES_LIMIT_MAX}")
    newest = head(session)
    place = _place(since, newest)
    query = select(FileEventRow).where(FileEventRow.event_id > place).order_by(FileEventRow.event_id).limit(limit)
    if user_id is not None:
        query = query.where(FileEventRow.user_id == user_id)
    items = [_as_event(_columns(row), newest.epoch) for row in session.scalars(query)]
    # A short page means that nothing of this reader is left below the head that was read before the page.
    after = items[-1]["event_id"] if items else place
    if len(items) < limit:
        after = max(after, newest.event_id)
    return {"items": items, "cursor": str(Cursor(newest.epoch, after))}


def by_change_keys(session: Session, keys: Sequence[str]) -> dict[str, FileEvent]:
    """The events of the changes that came with these keys, by their keys."""
    rows = session.scalars(select(FileEventRow).where(FileEventRow.change_key.in_(keys))).all()
    if not rows:
        return {}
    epoch = head(session).epoch
    return {row.change_key: _as_event(_columns(row), epoch) for row in rows if row.change_key is not None}


def undispatched(session: Session, before: datetime, limit: int) -> list[FileEvent]:
    """The oldest events that were committed before that moment and never marked as dispatched."""
    epoch = head(session).epoch
    query = (
        select(FileEventRow)
        .where(FileEventRow.dispatched.is_(False), FileEventRow.at < before)
        .order_by(FileEventRow.event_id)
        .limit(limit)
    )
    return [_as_event(_columns(row), epoch) for row in session.scalars(query)]


def mark_dispatched(session: Session, event_ids: Sequence[int]) -> None:
    """Remember that the bus has confirmed these events."""
    session.execute(update(FileEventRow).where(FileEventRow.event_id.in_(event_ids)).values(dispatched=True))


def _place(since: str | int | None, newest: Cursor) -> int:
    if since is None:
        return 0
    text = str(since)
    try:
        cursor = Cursor(newest.epoch, int(text)) if text.isascii() and text.isdigit() else Cursor.parse(text)
    except ValueError as exc:
        raise InvalidInput.for_field("since", "is not a cursor") from exc
    if cursor.epoch != newest.epoch or cursor.event_id > newest.event_id:
        raise CursorExpired
    return cursor.event_id


def _columns(row: FileEventRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FileEventRow.__table__.columns.keys()}  # noqa: SIM118


def _as_event(row: dict[str, Any], epoch: str) -> FileEvent:
    return {
        "event_id": row["event_id"],
        "type": row["type"],
        "id": row["file_id"],
        "user_id": row["user_id"],
        "name": row["name"],
        "path": row["path"],
        "size": row["size"],
        "media_type": row["media_type"],
        "sha256": row["sha256"],
        "version": row["version"],
        "at": to_text(row["at"]),
        "by": row["by"],
        "folder": row["folder"],
        "labels": json.loads(row["labels"]) if row["labels"] else {},
        "permanent": bool(row["permanent"]),
        "cursor": str(Cursor(epoch, row["event_id"])),
    }
