"""Lists of files, in pages that neither skip nor repeat one while others come and go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from docsave_services.contracts import File, FilePage, StoredFile
from docsave_services.db.models import FileRow
from docsave_services.errors import InvalidInput
from docsave_services.files import list_cursor
from docsave_services.files.filters import NO_FILTERS, FileFilters
from docsave_services.files.rows import as_file

LIST_LIMIT_MAX = 1000

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
    limit: int = 100
    after: str | None = None
    sort: str | None = None
    deleted: bool = False
    filters: FileFilters = NO_FILTERS

    @property
    def key(self) -> str:
        """What the list is sorted by."""
        return "id" if self.sort is None else self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the largest comes first."""
        return self.sort is not None and self.sort.startswith("-")

    @property
    def list_name(self) -> str:
        """The same for all pages of one list: its order and its filters."""
        asked = [self.user_id, self.sort, self.deleted, asdict(self.filters)]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def list_files(session: Session, query: FileQuery) -> FilePage:
    """One page. ``InvalidInput`` for a limit, sort or cursor that cannot be used."""
    _check(query)
    rows: list[FileRow] = []
    for place in _places(query):
        if len(rows) <= query.limit:
            statement = _ordered(query).where(*place).limit(query.limit + 1 - len(rows))
            rows += session.scalars(statement)
    page = rows[: query.limit]
    return {
        "items": [_public(as_file(row)) for row in page],
        "next": _cursor_after(query, page[-1]) if len(rows) > query.limit else None,
    }


def _check(query: FileQuery) -> None:
    if type(query.limit) is not int or not 1 <= query.limit <= LIST_LIMIT_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {LIST_LIMIT_MAX}")
    if query.sort is not None and query.sort not in SORTS:
        raise InvalidInput.for_field("sort", "must be one of " + ", ".join(SORTS))


def _ordered(query: FileQuery) -> Select[FileRow]:
    statement = select(FileRow).where(FileRow.trashed.is_(query.deleted), *query.filters.conditions())
    if query.user_id is not None:
        statement = statement.where(FileRow.user_id == query.user_id)
    columns = dict.fromkeys((_ORDERS[query.key], FileRow.id))
    return statement.order_by(*(column.desc() if query.descending else column for column in columns))


def _places(query: FileQuery) -> Iterator[list[ColumnElement[bool]]]:
    """Where the page lies: the rest of the files with the cursor's value, then those beyond it.

    Two statements, because each is one range of an index. As one condition (value beyond, or equal and id beyond)
    they are two, which databases answer by sorting everything.
    """
    if query.after is None:
        yield []
        return
    value, file_id = list_cursor.decode(query.after, query.list_name, _KINDS.get(query.key, int))
    column = _ORDERS[query.key]
    later = FileRow.id < file_id if query.descending else FileRow.id > file_id
    if query.key == "id":
        yield [later]
        return
    yield [column == value, later]
    yield [column < value if query.descending else column > value]


def _cursor_after(query: FileQuery, row: FileRow) -> str:
    return list_cursor.encode(query.list_name, getattr(row, _ORDERS[query.key].key), row.id)


def _public(file: StoredFile) -> File:
    return cast(File, {key: value for key, value in file.items() if key != "path"})
