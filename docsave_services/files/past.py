"""Files as they were: the journal read as of one of its places (ADR 015)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, exists, false, func, or_, select
from sqlalchemy.orm import Session, aliased

from docsave_services.contracts import FILE_DELETE, BackupState, File, PastPage, StoredFile
from docsave_services.db.models import FileEventRow, FileRow
from docsave_services.db.transactions import Transactions
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.folders import ROOT
from docsave_services.domain.ids import is_id
from docsave_services.errors import NotFound
from docsave_services.files.places import PageQuery, page_end, page_start, place_of
from docsave_services.files.protection import copied_through
from docsave_services.times import to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class PastQuery(PageQuery):
    """``deleted`` are the files that lay in the trash then. ``folder`` is one folder as of then, with ``recursive``
    also all below it."""

    deleted: bool = False
    recursive: bool = False


def list_past(transactions: Transactions, query: PastQuery) -> PastPage:
    """One page of the files as they were, in the order of their ids. All pages that follow are of the same place."""
    place, after = page_start(transactions, query)
    return transactions.read(lambda s: _page(s, query, place, after))


def past_file(transactions: Transactions, file_id: int, at: str) -> StoredFile:
    """One file as it was; ``NotFound`` for one that was not there or lay in the trash."""
    if not is_id(file_id):
        raise NotFound
    place = place_of(transactions, at).event_id

    def find(session: Session) -> StoredFile:
        newest = newest_entries(session, [file_id], place).get(file_id)
        if newest is None or newest.type == FILE_DELETE:
            raise NotFound
        return as_past_files(session, [newest])[0]

    return transactions.read(find)


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
    return {
        "items": [_public(file) for file in as_past_files(session, page)],
        "next": page_end(query, place, page[-1].file_id) if more else None,
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


def _public(file: StoredFile) -> File:
    return cast(File, {key: value for key, value in file.items() if key != "path"})


def in_folder(file: dict[str, Any] | StoredFile | None, folder: str) -> bool:
    """Whether a file lies in ``folder`` or below it."""
    return file is not None and (folder in (ROOT, file["folder"]) or file["folder"].startswith(f"{folder}/"))
