"""Engines for SQLite and MariaDB/MySQL, set up so that a commit is durable and the event loop keeps turning."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from eventlet import tpool
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Session

T = TypeVar("T")

POOL_SIZE = 16
POOL_WAIT_SECONDS = 4.0
CONNECT_SECONDS = 3
STATEMENT_SECONDS = 10
LOCK_WAIT_SECONDS = 2
RECYCLE_SECONDS = 1800
"""Shorter than any wait_timeout in use, so that a pooled connection is not closed under us."""

BEGIN_IMMEDIATE = {"sqlite_begin": "BEGIN IMMEDIATE"}
"""Execution options of a writing transaction: it takes SQLite's write lock at its start, or fails at once."""


class _ThreadedCommit(sqlite3.Connection):
    """Commits in a thread: the fsync of a commit takes milliseconds and would stop every green thread."""

    def commit(self) -> None:
        tpool.execute(super().commit)


def off_the_loop(session: Session, work: Callable[[], T]) -> T:
    """What ``work`` returns, which reads very many rows through ``session``: SQLite, which lets go of the interpreter
    meanwhile, reads them in a thread. MariaDB's driver waits without stopping anybody."""
    return tpool.execute(work) if session.get_bind().dialect.name == "sqlite" else work()


def make_engine(db_uri: str) -> Engine:
    """An engine for ``sqlite:///path`` or ``mysql+pymysql://…``."""
    if make_url(db_uri).get_backend_name() == "sqlite":
        return _sqlite_engine(db_uri)
    return create_engine(
        db_uri,
        # A long snapshot would hide newer rows from readers of the journal, and gap locks would make writers wait.
        isolation_level="READ COMMITTED",
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": STATEMENT_SECONDS,
            "write_timeout": STATEMENT_SECONDS,
            "init_command": f"SET SESSION innodb_lock_wait_timeout={LOCK_WAIT_SECONDS}, "
            "sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
        },
    )


def _sqlite_engine(db_uri: str) -> Engine:
    database = make_url(db_uri).database
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        db_uri,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_timeout=POOL_WAIT_SECONDS,
        # The connection that was used last knows the most pages: in turn, each reads them all again after every commit.
        pool_use_lifo=True,
        # No waiting inside SQLite: its busy loop is C code and would stop the process. Callers wait in Python.
        connect_args={"timeout": 0, "check_same_thread": False, "factory": _ThreadedCommit},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "handle_error", _distrust_after_failed_reads)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions behind our back
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _distrust_after_failed_reads(context: ExceptionContext) -> None:
    """A connection that met a failing disk is not used again: what it keeps of the file may be wrong.

    A page that could not be read appears as "disk I/O error", or as a file that is malformed or no database at all.
    """
    failure = context.original_exception
    if type(failure) is sqlite3.DatabaseError or "disk I/O error" in str(failure):
        context.is_disconnect = True


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))
