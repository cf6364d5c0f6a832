"""A disk that fails below SQLite: found with strace by ``make soak FAULT=eio-files-read``, which saw 500."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.errors import DatabaseUnavailable

ROWS = 2000


def _insert(session: Session) -> None:
    session.execute(text("INSERT INTO it VALUES (1, 'x')"))


def _count(session: Session) -> int:
    return int(session.execute(text("SELECT COUNT(*) FROM it WHERE words <> ''")).scalar_one())


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of many pages, closed."""
    path = tmp_path / "db.sqlite3"
    made = Transactions(make_engine(f"sqlite:///{path}"))
    made.write(lambda session: session.execute(text("CREATE TABLE it (n INTEGER, words TEXT)")))
    rows = [{"n": n, "words": "w" * 100} for n in range(ROWS)]
    made.write(lambda session: session.execute(text("INSERT INTO it VALUES (:n, :words)"), rows))
    made.engine.dispose()
    return path


def test_pages_that_cannot_be_read_are_a_database_that_is_away(database: Path) -> None:
    """The coded error that clients get as 503, for reading and writing; when the pages are back, so is the database."""
    whole = database.read_bytes()
    database.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    transactions = Transactions(make_engine(f"sqlite:///{database}"))
    with pytest.raises(DatabaseUnavailable):
        transactions.read(_count)
    with pytest.raises(DatabaseUnavailable):
        transactions.write(_insert)
    with database.open("r+b") as file:
        file.write(whole)
    assert transactions.read(_count) == ROWS
    transactions.write(_insert)
    assert transactions.read(_count) == ROWS + 1


def test_what_a_connection_read_wrongly_is_not_used_again(database: Path) -> None:
    """The connection that met the failure is gone: the next transaction opens a new one."""
    transactions = Transactions(make_engine(f"sqlite:///{database}"))

    def connection_of(session: Session) -> object:
        return session.connection().connection.dbapi_connection

    before = transactions.read(connection_of)
    whole = database.read_bytes()
    database.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    with pytest.raises(DatabaseUnavailable):
        transactions.read(_count)
    assert transactions.read(connection_of) is not before
