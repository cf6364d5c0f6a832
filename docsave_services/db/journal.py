"""The journal: one row a change, numbered 1, 2, 3… in commit order.

``append`` comes last in a transaction. It locks the one row of ``journal_head`` and holds it until the commit, so
that nobody ever sees a number before a lower one. Readers may therefore go on from the highest number they saw.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Select, Table, bindparam, false, func, select, update
from sqlalchemy.orm import Session

from docsave_services.contracts import CHANGES_LIMIT_MAX, ChangesPage, FileEvent
from docsave_services.db.models import FileEventRow, JournalHeadRow
from docsave_services.domain.change_filter import ChangeFilter
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.ids import id_problem
from docsave_services.errors import CursorExpired, InvalidInput
from docsave_services.times import to_text

SCAN_MAX = 10_000
"""Entries that one filtered read looks at: some ten milliseconds, during which SQLite stops the process."""

EVERYTHING = ChangeFilter()

# Each change of a file needs these. Put together anew each time they took half the time of a small transaction.
_ENTRIES, _HEADS = cast(Table, FileEventRow.__table__), cast(Table, JournalHeadRow.__table__)
_TAKE_NUMBERS = _HEADS.update().values(last=_HEADS.c.last + bindparam("count"))
_HEAD = select(_HEADS.c.last, _HEADS.c.epoch)
_ADD = _ENTRIES.insert()
_OF_KEYS = select(_ENTRIES).where(_ENTRIES.c.change_key.in_(bindparam("keys", expanding=True)))


def append(session: Session, entries: Sequence[dict[str, Any]]) -> list[FileEvent]:
    """Number ``entries`` (columns of ``file_event`` without ``event_id``) and add them; nothing may follow but
    the commit."""
    if not entries:
        return []
    session.flush()
    connection = session.connection()
    connection.execute(_TAKE_NUMBERS, {"count": len(entries)})
    last, epoch = connection.execute(_HEAD).one()
    first = last - len(entries) + 1
    rows = [{**entry, "event_id": first + n, "dispatched": False} for n, entry in enumerate(entries)]
    connection.execute(_ADD, rows)
    return [_as_event(row, epoch) for row in rows]


def head(session: Session) -> Cursor:
    """The newest place in the journal."""
    last, epoch = session.connection().execute(_HEAD).one()
    return Cursor(epoch, last)


def read(
    session: Session, since: str | int | None, limit: int, user_id: int | None, wanted: ChangeFilter = EVERYTHING
) -> ChangesPage:
    """Up to ``limit`` events after ``since`` that are ``wanted``, of everybody or of one user's files.

    The cursor moves past what is not wanted. A filtered page may be short, or empty, although ``more`` follows.
    Raises ``CursorExpired`` for a place of another journal or one that does not exist yet.
    """
    if type(limit) is not int or not 1 <= limit <= CHANGES_LIMIT_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {CHANGES_LIMIT_MAX}")
    problem = None if user_id is None else id_problem(user_id)
    if problem:
        raise InvalidInput.for_field("user_id", problem)
    newest = head(session)
    place = _place(since, newest)
    reader = select(FileEventRow).where(FileEventRow.event_id > place)
    if user_id is not None:
        reader = reader.where(FileEventRow.user_id == user_id)
    edge = _edge(session, reader) if wanted else None
    query = _filtered(reader, wanted, edge).order_by(FileEventRow.event_id).limit(limit)
    items = [_as_event(_columns(row), newest.epoch) for row in session.scalars(query)]
    after = items[-1]["event_id"] if items else place
    if len(items) < limit:
        # A short page means that nothing of this reader is left up to the edge, or without one below the head that
        # was read before the page.
        after = edge or max(after, newest.event_id)
    return {"items": items, "cursor": str(Cursor(newest.epoch, after)), "more": after < newest.event_id}


def _edge(session: Session, reader: Select[FileEventRow]) -> int | None:
    """The last entry that a filtered read of ``reader`` looks at; None when it comes to the end before."""
    ids = reader.with_only_columns(FileEventRow.event_id).order_by(FileEventRow.event_id)
    return session.scalar(ids.offset(SCAN_MAX - 1).limit(1))


def _filtered(query: Select[FileEventRow], wanted: ChangeFilter, edge: int | None) -> Select[FileEventRow]:
    """``ChangeFilter.passes`` in SQL. No LIKE: on SQLite it ignores case."""
    if edge is not None:
        query = query.where(FileEventRow.event_id <= edge)
    if wanted.types:
        query = query.where(FileEventRow.type.in_(wanted.types))
    if wanted.folder:
        below = f"{wanted.folder}/"
        query = query.where(
            (FileEventRow.folder == wanted.folder) | (func.substr(FileEventRow.folder, 1, len(below)) == below)
        )
    for label, value in wanted.labels:
        # What stands in a value has its quotation marks escaped, so this is found as a member only.
        member = json.dumps(label) + ": " if value is None else json.dumps({label: value}, ensure_ascii=False)[1:-1]
        query = query.where(func.instr(FileEventRow.labels, member) > 0)
    return query


def by_change_keys(session: Session, keys: Sequence[str]) -> dict[str, FileEvent]:
    """The events of the changes that came with these keys, by their keys."""
    rows = session.connection().execute(_OF_KEYS, {"keys": keys}).mappings().all()
    if not rows:
        return {}
    epoch = head(session).epoch
    return {row["change_key"]: _as_event(row, epoch) for row in rows}


def undispatched(session: Session, before: datetime, limit: int) -> list[FileEvent]:
    """The oldest events that were committed before that moment and never marked as dispatched."""
    epoch = head(session).epoch
    query = (
        select(FileEventRow)
        .where(FileEventRow.dispatched == false(), FileEventRow.at < before)
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


def _as_event(row: Mapping[Any, Any], epoch: str) -> FileEvent:
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
