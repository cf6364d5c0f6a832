"""Files as they were: the journal read as of one of its places (ADR 015).

A place is a cursor, or a moment: then it is that of the last entry, in the order of the journal, whose time is not
after the moment. So every change that says it was made by then counts, whatever the clocks did before it or since,
and a later moment is never an earlier place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

import eventlet
from sqlalchemy import ColumnElement, Select, exists, false, func, or_, select
from sqlalchemy.orm import Session, aliased

from docsave_services.contracts import FILE_DELETE, BackupState, File, PastPage, StoredFile
from docsave_services.db import journal
from docsave_services.db.models import FileEventRow, FileRow
from docsave_services.db.transactions import Transactions
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.folders import ROOT, folder_problem
from docsave_services.errors import CursorExpired, InvalidInput, NotFound
from docsave_services.files import list_cursor
from docsave_services.files.lists import LIST_LIMIT_MAX
from docsave_services.files.protection import copied_through
from docsave_services.times import from_text, to_text

PLACE_SCAN = 20_000
"""Entries that one look for a moment's place passes: some ten milliseconds, during which SQLite stops the process."""


@dataclass(frozen=True, slots=True)
class PastQuery:
    """Which files as of when: ``user_id`` None means everybody's; ``deleted`` those that lay in the trash then.
    ``folder`` is one folder as of then, with ``recursive`` also all below it."""

    at: str
    user_id: int | None
    limit: int = 100
    after: str | None = None
    deleted: bool = False
    folder: str | None = None
    recursive: bool = False

    def list_name(self, epoch: str) -> str:
        """The same for all pages of one list."""
        asked = {**asdict(self), "limit": None, "after": None, "epoch": epoch}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def list_past(transactions: Transactions, query: PastQuery) -> PastPage:
    """One page of the files as they were, in the order of their ids. All pages that follow are of the same place."""
    check_limit(query.limit)
    problem = folder_problem(query.folder) if query.folder else None
    if problem:
        raise InvalidInput.for_field("folder", problem)
    place, after = page_place(transactions, query.at, query.after, query.list_name)
    return transactions.read(lambda s: _page(s, query, place, after))


def past_file(transactions: Transactions, file_id: int, at: str) -> StoredFile:
    """One file as it was; ``NotFound`` for one that was not there or lay in the trash."""
    if type(file_id) is not int or not 0 < file_id < 2**31:
        raise NotFound
    place = place_of(transactions, at).event_id

    def find(session: Session) -> StoredFile:
        newest = newest_entries(session, [file_id], place).get(file_id)
        if newest is None or newest.type == FILE_DELETE:
            raise NotFound
        return as_past_files(session, [newest])[0]

    return transactions.read(find)


def place_of(transactions: Transactions, at: str) -> Cursor:
    """The place that a cursor or a moment (RFC 3339) names; 0 for a moment before the first entry.

    ``CursorExpired`` for a cursor of another journal or from the future, ``InvalidInput`` for another text.
    """
    newest = transactions.read(journal.head)
    try:
        given = Cursor.parse(at)
    except (ValueError, TypeError):
        return Cursor(newest.epoch, _place_of_moment(transactions, from_text("at", at), newest.event_id))
    if given.epoch != newest.epoch or given.event_id > newest.event_id:
        raise CursorExpired
    return given


def page_place(
    transactions: Transactions, at: str, after: str | None, list_name: Callable[[str], str]
) -> tuple[Cursor, int]:
    """The place that a page is of, and the id that it comes after: the first page fixes the place for the others."""
    if after is None:
        return place_of(transactions, at), 0
    epoch = transactions.read(journal.head).epoch
    place, file_id = list_cursor.decode(after, list_name(epoch), int)
    return Cursor(epoch, place), file_id


def check_limit(limit: object) -> None:
    """``InvalidInput`` for what is no size of a page."""
    if type(limit) is not int or not 1 <= limit <= LIST_LIMIT_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {LIST_LIMIT_MAX}")


def newest_entries(session: Session, file_ids: Sequence[int], place: int) -> dict[int, FileEventRow]:
    """The newest entry of each of these files at ``place``, by file; none for one that was not there yet."""
    entry = FileEventRow
    newest = select(func.max(entry.event_id)).where(entry.file_id.in_(file_ids), entry.event_id <= place)
    event_ids = session.scalars(newest.group_by(entry.file_id)).all()
    rows = session.scalars(select(entry).where(entry.event_id.in_(event_ids)))
    return {row.file_id: row for row in rows}


def as_past_files(session: Session, entries: Sequence[FileEventRow]) -> list[StoredFile]:
    """The files as these entries left them. ``backup`` says whether that version is safe by now."""
    file_ids = [entry.file_id for entry in entries]
    created = _created(session, file_ids)
    protected = dict(
        session.execute(select(FileRow.id, FileRow.protected_version).where(FileRow.id.in_(file_ids))).all()
    )
    through = copied_through(session) or 0
    return [
        _as_file(entry, created[entry.file_id], protected.get(entry.file_id, 0), entry.event_id <= through)
        for entry in entries
    ]


def _as_file(entry: FileEventRow, created: datetime, protected_version: int, copied: bool) -> StoredFile:
    safe = copied or protected_version >= entry.version
    backup: BackupState = {
        "state": "protected" if safe else "pending",
        "version": entry.version if safe else protected_version,
    }
    at = to_text(entry.at)
    return {
        "id": entry.file_id,
        "user_id": entry.user_id or 0,
        "name": entry.name,
        "size": entry.size,
        "media_type": entry.media_type,
        "sha256": entry.sha256,
        "version": entry.version,
        "created_at": to_text(created),
        "updated_at": at,
        "deleted_at": at if entry.type == FILE_DELETE else None,
        "folder": entry.folder,
        "labels": json.loads(entry.labels) if entry.labels else {},
        "backup": backup,
        "path": entry.path,
    }


def _created(session: Session, file_ids: Sequence[int]) -> dict[int, datetime]:
    """When each file was made. A journal that was rebuilt may lack a first version: then the oldest entry says it."""
    first = select(func.min(FileEventRow.event_id)).where(FileEventRow.file_id.in_(file_ids))
    event_ids = session.scalars(first.group_by(FileEventRow.file_id)).all()
    rows = session.execute(select(FileEventRow.file_id, FileEventRow.at).where(FileEventRow.event_id.in_(event_ids)))
    return {row.file_id: row.at for row in rows}


def _page(session: Session, query: PastQuery, place: Cursor, after: int) -> PastPage:
    statement = _newest_of_each(place.event_id).where(FileEventRow.file_id > after)
    if query.user_id is not None:
        statement = statement.where(FileEventRow.user_id == query.user_id)
        statement = statement.with_hint(FileEventRow, "FORCE INDEX (ix_file_event_user_file)", "mysql")
    if query.deleted:
        statement = statement.where(FileEventRow.type == FILE_DELETE, FileEventRow.permanent == false())
    else:
        statement = statement.where(FileEventRow.type != FILE_DELETE)
    if query.folder is not None:
        statement = statement.where(*_in_folder(query.folder, query.recursive))
    entries = session.scalars(statement.order_by(FileEventRow.file_id).limit(query.limit + 1)).all()
    page, more = entries[: query.limit], len(entries) > query.limit
    name = query.list_name(place.epoch)
    return {
        "items": [_public(file) for file in as_past_files(session, page)],
        "next": list_cursor.encode(name, place.event_id, page[-1].file_id) if more else None,
        "at": str(place),
    }


def _newest_of_each(place: int) -> Select[FileEventRow]:
    """The newest entry of each file at ``place``. A file's versions grow as its entries do, and have an index."""
    newer = aliased(FileEventRow)
    later = exists().where(
        newer.file_id == FileEventRow.file_id,
        newer.version > FileEventRow.version,
        newer.event_id <= place,
    )
    # No index for the place: nearly all entries are before it, and the list is in the order of files.
    return select(FileEventRow).where(func.coalesce(FileEventRow.event_id, 0) <= place, ~later)


def _in_folder(folder: str, recursive: bool) -> list[ColumnElement[bool]]:
    """In that folder or, when ``recursive``, anywhere below it. No LIKE: on SQLite it ignores case."""
    if not recursive:
        return [FileEventRow.folder == folder]
    if folder == ROOT:
        return []
    below = f"{folder}/"
    return [or_(FileEventRow.folder == folder, func.substr(FileEventRow.folder, 1, len(below)) == below)]


def _place_of_moment(transactions: Transactions, moment: datetime, newest: int) -> int:
    """Look from the end, a stretch at a time; a recent moment is found at once."""
    top = newest
    while top > 0:
        bottom = max(0, top - PLACE_SCAN)
        found = transactions.read(lambda s, low=bottom, high=top: _last_until(s, moment, low, high))  # type: ignore[misc]
        if found is not None:
            return int(found)
        top = bottom
        eventlet.sleep(0)
    return 0


def _last_until(session: Session, moment: datetime, bottom: int, top: int) -> int | None:
    entry = FileEventRow
    query = select(entry.event_id).where(entry.event_id > bottom, entry.event_id <= top, entry.at <= moment)
    return session.scalar(query.order_by(entry.event_id.desc()).limit(1))


def _public(file: StoredFile) -> File:
    return cast(File, {key: value for key, value in file.items() if key != "path"})


def in_folder(file: dict[str, Any] | StoredFile | None, folder: str) -> bool:
    """Whether a file lies in ``folder`` or below it."""
    return file is not None and (folder in (ROOT, file["folder"]) or file["folder"].startswith(f"{folder}/"))
