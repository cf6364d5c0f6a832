"""Lists of files, in pages that neither skip nor repeat one while others come and go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, or_, select
from sqlalchemy.orm import Session

from docsave_services.contracts import FilePage
from docsave_services.db.engine import off_the_loop
from docsave_services.db.models import FileRow
from docsave_services.domain.ids import id_problem
from docsave_services.errors import InvalidInput
from docsave_services.files import list_cursor
from docsave_services.files.filters import NO_FILTERS, FileFilters
from docsave_services.files.list_rows import ListRow, columns, shown

LIST_LIMIT_MAX = 1000

FEW = 1000
"""So many files are looked at one by one rather than searched for in the order of the list."""

FIRST_LOOK = 1000
"""So many files of the list are tried before all of the user's are looked through for those that fit: 0.1 s for each
million on SQLite, 0.3 s on MariaDB, while what many names have fills a page at once."""

Among = Sequence[int] | None
"""The only ids that a list can have, when they are known."""

_ORDERS: dict[str, Any] = {
    "id": FileRow.id,
    "name": FileRow.name_key,
    "size": FileRow.size,
    "created_at": FileRow.created_at,
    "updated_at": FileRow.updated_at,
}
_INDEXES = {key: f"ix_file_list_{column.key}" for key, column in _ORDERS.items()} | {"id": "ix_file_list"}
"""The index that has a user's files in each order."""

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
        filters = {field: getattr(self.filters, field) for field in FileFilters.__slots__}
        asked = [self.user_id, self.sort, self.deleted, filters]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def list_files(session: Session, query: FileQuery) -> FilePage:
    """One page. ``InvalidInput`` for a limit, sort or cursor that cannot be used."""
    _check(query)
    rows = _found(session, query)
    page = rows[: query.limit]
    return {
        "items": [shown(row) for row in page],
        "next": _cursor_after(query, page[-1]) if len(rows) > query.limit else None,
    }


def _found(session: Session, query: FileQuery) -> list[ListRow]:
    """The files of the page and the one after it, if there is one.

    What few files fit is not searched for in the order of the list, where it would be tried on all of them; what many
    fit is, since a page is soon full.
    """
    if query.user_id is None:
        everybodys = partial(_filled, session, query, _ordered(query))
        return everybodys() if query.filters == NO_FILTERS else off_the_loop(session, everybodys)
    among = _few(session, query.filters.searches(query.user_id, query.deleted))
    scans = list(query.filters.scans(query.user_id, query.deleted))
    if among is None and scans:
        soon = _first_look(session, query)
        return soon if soon is not None else off_the_loop(session, partial(_looked_through, session, query, scans))
    return _filled(session, query, _ordered(query, among))


def _looked_through(session: Session, query: FileQuery, scans: Iterable[Select[int]]) -> list[ListRow]:
    return _filled(session, query, _ordered(query, _few(session, scans)))


def _filled(session: Session, query: FileQuery, statement: Select[Any]) -> list[ListRow]:
    rows: list[ListRow] = []
    for reach in _reaches(query):
        if len(rows) <= query.limit:
            rows += _rows(session, query, statement.where(*reach).limit(query.limit + 1 - len(rows)))
    return rows


def _first_look(session: Session, query: FileQuery) -> list[ListRow] | None:
    """The same, when it is among the first files of the list or those are all; None otherwise."""
    rows: list[ListRow] = []
    statement, column = _ordered(query), _ORDERS[query.key]
    all_of_it = _in_order(query.key, query.descending, of_one_user=True)
    places = all_of_it.with_only_columns(column.label("sort_value"), FileRow.id).offset(FIRST_LOOK).limit(1)
    for reach in _reaches(query):
        ends = _rows(session, query, places.where(*reach))
        near = [*reach, *_up_to(query, ends[0].sort_value, ends[0].id)] if ends else reach
        rows += _rows(session, query, statement.where(*near).limit(query.limit + 1 - len(rows)))
        if len(rows) > query.limit:
            return rows
        if ends:
            return None
    return rows


def _check(query: FileQuery) -> None:
    if type(query.limit) is not int or not 1 <= query.limit <= LIST_LIMIT_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {LIST_LIMIT_MAX}")
    if query.sort is not None and query.sort not in SORTS:
        raise InvalidInput.for_field("sort", "must be one of " + ", ".join(SORTS))
    check_whose(query.user_id)
    if type(query.deleted) is not bool:
        raise InvalidInput.for_field("deleted", "must be true or false")


def check_whose(user_id: object) -> None:
    """``InvalidInput`` for what is neither an account's id nor None, everybody's."""
    problem = None if user_id is None else id_problem(user_id)
    if problem:
        raise InvalidInput.for_field("user_id", problem)


def _reaches(query: FileQuery) -> Iterator[list[ColumnElement[bool]]]:
    """Where the page may lie: among the files with the cursor's value, then beyond it.

    Each is one range of an index. As one condition (value beyond, or equal and id beyond) they are two, which
    databases answer by sorting everything.
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


def _up_to(query: FileQuery, value: Any, file_id: int) -> Iterator[ColumnElement[bool]]:
    """No further than this place of the list. The first is a range of the index; the second is tried within it."""
    column = _ORDERS[query.key]
    if query.descending:
        yield column >= value
        yield or_(column > value, FileRow.id >= file_id)
    else:
        yield column <= value
        yield or_(column < value, FileRow.id <= file_id)


def _few(session: Session, searches: Iterable[Select[int]]) -> Among:
    """The ids that one of them finds, when they are few enough to look at all of them."""
    for search in searches:
        file_ids = session.scalars(search.limit(FEW + 1)).all()
        if len(file_ids) <= FEW:
            return file_ids
    return None


def _ordered(query: FileQuery, among: Among = None) -> Select[Any]:
    """All files of the list, in its order; ``among`` are the only ones it can have. For ``_rows``."""
    statement = _in_order(query.key, query.descending, query.user_id is not None and among is None)
    if among is not None:
        statement = statement.where(FileRow.id.in_(among))
    return statement.where(*query.filters.conditions())


@cache
def _in_order(key: str, descending: bool, of_one_user: bool) -> Select[Any]:
    """A user's files, or everybody's, read in that order. Put together once: that took an eighth of a page's time."""
    column = _ORDERS[key]
    order = (column.desc(), FileRow.id.desc()) if descending else (column, FileRow.id)
    # "trashed IS false" would use no index on MariaDB.
    statement = select(*columns(column)).where(FileRow.trashed == bindparam("deleted")).order_by(*order)
    if not of_one_user:
        return statement
    # Left alone, MariaDB reads the list from its beginning to the place of a deep page.
    hint = f"FORCE INDEX ({_INDEXES[key]})"
    return statement.where(FileRow.user_id == bindparam("owner")).with_hint(FileRow, hint, "mysql")


def _rows(session: Session, query: FileQuery, statement: Select[Any]) -> Sequence[ListRow]:
    return session.connection().execute(statement, {"deleted": query.deleted, "owner": query.user_id}).all()


def _cursor_after(query: FileQuery, row: ListRow) -> str:
    return list_cursor.encode(query.list_name, row.sort_value, row.id)
