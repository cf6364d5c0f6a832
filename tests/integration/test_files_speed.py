"""A page of 100,000 files takes the time of a page of 150, whatever the order and the place."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, literal, select, text
from sqlalchemy.orm import Session

from docsave_services.db.file_models import FileLabelRow
from docsave_services.db.models import FileRow
from docsave_services.files import list_cursor, lists, queries
from docsave_services.files.filters import FileFilters
from docsave_services.files.lists import SORTS, FileQuery, list_files
from docsave_services.files.rows import NewFile
from docsave_services.times import now
from tests.support.documents import Documents

SMALL = 150
LARGE_DOUBLINGS = 10
LARGE = SMALL * 2**LARGE_DOUBLINGS
"""153,600, two thirds of them outside the trash."""

PAGE = 50
PAIRS = 7
SLOWER_AT_MOST = 3.0
"""A plan that sorts or reads all files takes more than twenty times as long; a busy machine less than this."""

_COPIED = [column.name for column in FileRow.__table__.columns if column.name != "id"]


def fill(documents: Documents, user_id: int, doublings: int) -> None:
    """``SMALL`` files, then all of them again and again: many with the same name, none with the same size."""
    start = now()
    rows = [
        NewFile(
            user_id=user_id,
            name=f"Bericht {n * 7919 % 1009:04d}",
            path=f"ab/cd/{'0' * 64}",
            size=n * 1000,
            sha256="0" * 64,
            media_type="text/plain",
            created_at=start + timedelta(seconds=n * 31 % 97),
            folder=f"f{n % 3}",
            labels=None,
        )
        for n in range(SMALL)
    ]
    values = [{**row.values, "trashed": n % 3 == 0} for n, row in enumerate(rows)]
    file = FileRow.__table__
    with documents.db.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("PRAGMA cache_size = -200000"))
        connection.execute(insert(file), values)
        for doubling in range(doublings):
            columns = [file.c.size + literal(doubling + 1) if c == "size" else file.c[c] for c in _COPIED]
            connection.execute(insert(file).from_select(_COPIED, select(*columns).where(file.c.user_id == user_id)))


def fill_large(documents: Documents, user_id: int) -> None:
    """The same 1,024 times, with the indexes made afterwards: ten times as fast."""
    indexes = [index for index in FileRow.__table__.indexes if index.name != "ix_file_list"]
    with documents.db.engine.begin() as connection:
        for index in indexes:
            index.drop(connection)
    fill(documents, user_id, LARGE_DOUBLINGS)
    with documents.db.engine.begin() as connection:
        for index in indexes:
            index.create(connection)


def mark(documents: Documents, user_id: int) -> None:
    """One file in the middle gets a label of its own and moves into a folder of its own."""

    def put(session: Session) -> None:
        mine = select(FileRow).where(FileRow.user_id == user_id, FileRow.trashed == False)  # noqa: E712
        row = session.scalars(mine.order_by(FileRow.id).offset(60).limit(1)).one()
        row.folder = "alone"
        session.add(FileLabelRow(file_id=row.id, user_id=user_id, label="crm.deal", value="42"))

    documents.db.write(put)


def rename_oldest(documents: Documents, user_id: int) -> None:
    """A page of files and one more, the first of the list, get a name of their own."""

    def put(session: Session) -> None:
        mine = select(FileRow).where(FileRow.user_id == user_id, FileRow.trashed == False)  # noqa: E712
        for row in session.scalars(mine.order_by(FileRow.id).limit(PAGE + 1)):
            row.name = row.name_key = "early"

    documents.db.write(put)


def at_depth(documents: Documents, query: FileQuery, share: float) -> FileQuery:
    """The same list, from behind that share of it."""
    column: Any = lists._ORDERS[query.key]
    order = (column.desc(), FileRow.id.desc()) if query.descending else (column, FileRow.id)
    mine = select(column, FileRow.id).where(FileRow.user_id == query.user_id, FileRow.trashed == query.deleted)
    total = LARGE if query.user_id == documents.user_id else SMALL
    place = mine.order_by(*order).offset(int(total * share)).limit(1)
    value, file_id = documents.db.read(lambda s: s.execute(place).one())
    return dataclasses.replace(query, after=list_cursor.encode(query.list_name, value, file_id))


def ratio(documents: Documents, large: Callable[[Session], Any], small: Callable[[Session], Any]) -> float:
    """How much longer the one takes: the median of pairs taken one after the other."""

    def seconds(work: Callable[[Session], Any]) -> float:
        begun = time.perf_counter()
        documents.db.read(work)
        return time.perf_counter() - begun

    return statistics.median(seconds(large) / seconds(small) for _ in range(PAIRS))


def test_a_page_of_many_files_takes_the_time_of_a_page_of_few(documents: Documents) -> None:
    """Every order, both directions, trash and not, first page and deep; filters that fit one file; look-ups by id."""
    fill_large(documents, documents.user_id)
    small_user = documents.new_user()
    fill(documents, small_user, 0)
    slow: dict[str, float] = {}

    def compare(name: str, query: FileQuery, share: float | None = None) -> None:
        pair = [query, dataclasses.replace(query, user_id=small_user)]
        large, small = pair if share is None else [at_depth(documents, one, share) for one in pair]
        assert documents.db.read(lambda s: list_files(s, large))["items"]
        found = ratio(documents, lambda s: list_files(s, large), lambda s: list_files(s, small))
        if found > SLOWER_AT_MOST:
            slow[name] = found

    for sort in (None, *SORTS):
        for deleted in (False, True):
            query = FileQuery(documents.user_id, PAGE if not deleted else PAGE // 4, None, sort, deleted)
            compare(f"{sort}, trash {deleted}", query)
            compare(f"{sort}, trash {deleted}, deep", query, 0.2)
    for user_id in (documents.user_id, small_user):
        mark(documents, user_id)
    for filters in (FileFilters(label=("crm.deal=42",)), FileFilters(folder="alone"), FileFilters(folder="f1")):
        for sort in (None, "name", "-updated_at"):
            compare(f"{filters}, {sort}", FileQuery(documents.user_id, PAGE, None, sort, False, filters))
    for user_id in (documents.user_id, small_user):
        rename_oldest(documents, user_id)
    compare("names at the list's beginning", FileQuery(documents.user_id, PAGE, filters=FileFilters(q="early")))

    page = FileQuery(documents.user_id, 64)
    ids = [file["id"] for file in documents.db.read(lambda s: list_files(s, page))["items"]]
    looked_up = ratio(documents, lambda s: queries.get_many(s, ids), lambda s: list_files(s, page))
    assert looked_up < SLOWER_AT_MOST
    assert slow == {}
