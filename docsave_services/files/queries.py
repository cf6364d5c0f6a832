"""Reading files: by id and as pages of a list that neither skip nor repeat while others are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from docsave_services.contracts import File, FilePage, StoredFile
from docsave_services.db.models import FileRow
from docsave_services.errors import InvalidInput, NotFound
from docsave_services.files import list_cursor
from docsave_services.files.rows import as_file, name_key

LIST_LIMIT_MAX = 1000
BATCH_MAX = 1000
QUERY_CHARACTERS_MAX = 255

_ORDERS: dict[str, Any] = {
    "id": FileRow.id,
    "name": FileRow.name_key,
    "size": FileRow.size,
    "created_at": FileRow.created_at,
    "updated_at": FileRow.updated_at,
}
_KINDS: dict[str, type] = {"name": str, "created_at": datetime, "updated_at": datetime}
SORTS = tuple(prefix + key for key in ("name", "size", "created_at", "updated_at") for prefix in ("", "-"))


@dataclass(frozen=True, slots=True)
class FileQuery:
    """Which files, in which order: ``user_id`` None means everybody's, ``sort`` None the order of creation."""

    user_id: int | None
    limit: int
    after: str | None
    q: str | None
    sort: str | None
    deleted: bool


def get_file(session: Session, file_id: int) -> StoredFile:
    """The file, also one in the trash; ``NotFound`` otherwise."""
    row = session.get(FileRow, file_id) if isinstance(file_id, int) and 0 < file_id < 2**31 else None
    if row is None:
        raise NotFound
    return as_file(row)


def get_many(session: Session, file_ids: Sequence[int]) -> list[StoredFile | None]:
    """The files in the order of ``file_ids``; None for one that does not exist or lies in the trash."""
    if not isinstance(file_ids, list) or len(file_ids) > BATCH_MAX:
        raise InvalidInput.for_field("file_ids", f"must be a list of at most {BATCH_MAX} ids")
    wanted = {i for i in file_ids if isinstance(i, int) and not isinstance(i, bool) and 0 < i < 2**31}
    query = select(FileRow).where(FileRow.id.in_(wanted), FileRow.trashed.is_(False))
    found = {row.id: as_file(row) for row in session.scalars(query)} if wanted else {}
    return [found.get(i) if type(i) is int else None for i in file_ids]


def list_files(session: Session, query: FileQuery) -> FilePage:
    """One page. ``InvalidInput`` for a limit, sort or cursor that cannot be used."""
    _check(query)
    key, descending = _order(query.sort)
    statement = _filtered(query)
    if query.after is not None:
        statement = statement.where(_beyond(query, key, descending))
    column = _ORDERS[key]
    order = (column.desc(), FileRow.id.desc()) if descending else (column, FileRow.id)
    rows: list[FileRow] = list(session.scalars(statement.order_by(*order).limit(query.limit + 1)))
    page = rows[: query.limit]
    more = len(rows) > query.limit
    return {
        "items": [_public(as_file(row)) for row in page],
        "next": _cursor_after(query, key, page[-1]) if more else None,
    }


def _check(query: FileQuery) -> None:
    if not isinstance(query.limit, int) or not 1 <= query.limit <= LIST_LIMIT_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {LIST_LIMIT_MAX}")
    if query.sort is not None and query.sort not in SORTS:
        raise InvalidInput.for_field("sort", "must be one of " + ", ".join(SORTS))
    if query.q is not None and (not isinstance(query.q, str) or len(query.q) > QUERY_CHARACTERS_MAX):
        # The longest name has as many characters.
        raise InvalidInput.for_field("q", f"must be text of at most {QUERY_CHARACTERS_MAX} characters")


def _order(sort: str | None) -> tuple[str, bool]:
    return ("id", False) if sort is None else (sort.removeprefix("-"), sort.startswith("-"))


def _filtered(query: FileQuery) -> Any:
    statement = select(FileRow)
    statement = statement.where(FileRow.trashed.is_(query.deleted))
    if query.user_id is not None:
        statement = statement.where(FileRow.user_id == query.user_id)
    if query.q:
        statement = statement.where(FileRow.name_key.contains(name_key(query.q), autoescape=True))
    return statement


def _beyond(query: FileQuery, key: str, descending: bool) -> ColumnElement[bool]:
    value, file_id = list_cursor.decode(query.after or "", query.sort, _KINDS.get(key, int))
    column = _ORDERS[key]
    if descending:
        return or_(column < value, and_(column == value, FileRow.id < file_id))
    return or_(column > value, and_(column == value, FileRow.id > file_id))


def _cursor_after(query: FileQuery, key: str, row: FileRow) -> str:
    return list_cursor.encode(query.sort, getattr(row, _ORDERS[key].key), row.id)


def _public(file: StoredFile) -> File:
    return cast(File, {key: value for key, value in file.items() if key != "path"})
