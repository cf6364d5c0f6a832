"""Bringing a database to the newest schema, and telling whether it is there."""

from __future__ import annotations

import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from docsave_services.db.engine import make_engine

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK_NAME = "docsave_migration"
_LOCK_SECONDS = 60


def upgrade(db_uri: str) -> None:
    """Apply the missing migrations. Two processes at once are safe: one works, the other finds it done."""
    engine = make_engine(db_uri)
    try:
        with _connected(engine) as connection:
            sqlite = engine.dialect.name == "sqlite"
            if sqlite:
                connection = connection.execution_options(sqlite_begin="BEGIN EXCLUSIVE")
                raw = connection.connection.dbapi_connection
                assert raw is not None  # noqa: S101 - just opened; for the type checker
                raw.cursor().execute(f"PRAGMA busy_timeout={_LOCK_SECONDS * 1000}")
            else:
                # DDL commits by itself in MySQL, so a transaction's lock would not hold: a named one does.
                _take_named_lock(connection)
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        engine.dispose()


def at_head(db_uri: str) -> bool:
    """Whether the newest migration has been applied. Raises SQLAlchemy's error when the database does not answer."""
    engine = make_engine(db_uri)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
            return current == ScriptDirectory.from_config(_config()).get_current_head()
    finally:
        engine.dispose()


def _connected(engine: Engine) -> Connection:
    """A connection. A new SQLite file turns to WAL with the first one, which fails while another process migrates."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return engine.connect()
        except OperationalError as exc:
            if "locked" not in str(exc.orig) or time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


def _take_named_lock(connection: Connection) -> None:
    query = text("SELECT GET_LOCK(:name, :seconds)")
    if connection.execute(query, {"name": _LOCK_NAME, "seconds": _LOCK_SECONDS}).scalar() != 1:
        raise TimeoutError("another migration has been running for a minute")
    connection.commit()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config
