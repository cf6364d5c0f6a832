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
    """Apply the missing migrations. Two processes at once are safe: one works, the other finds it done.

    The schema of a newer release is left as it is: migrations only add, so this release works with it.
    """
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
            if not _is_newer(_revision(connection), config):
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            connection.commit()
    finally:
        engine.dispose()


def is_ready(db_uri: str) -> bool:
    """Whether every migration of this release has been applied, or of a newer one: then old and new processes run side
    by side, and a release can be taken back. Raises SQLAlchemy's error when the database does not answer."""
    engine = make_engine(db_uri)
    try:
        with engine.connect() as connection:
            current, config = _revision(connection), _config()
            return current == ScriptDirectory.from_config(config).get_current_head() or _is_newer(current, config)
    finally:
        engine.dispose()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_newer(revision: str | None, config: Config) -> bool:
    """Whether the database was migrated by a release that knows more than this one."""
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return revision is not None and revision not in known


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
