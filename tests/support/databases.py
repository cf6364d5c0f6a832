"""Databases of the newest schema, copied from one that was migrated once: migrating each anew took a third of a test's
time and more. ``tests/integration/test_migrations.py`` says that a copy is what migrating makes."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url

from docsave_services.db import migrate
from docsave_services.db.engine import make_engine

_TEMPLATE = "docsave_template"


def prepare(db_uri: str) -> None:
    """Bring an empty database to the newest schema, with an epoch of its own for its journal; leave one that has it."""
    url = make_url(db_uri)
    if _is_prepared(db_uri):
        return
    statements: tuple[str, ...] = ()
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_sqlite_template(), path)
    else:
        statements = _mariadb_template(url.set(database=_TEMPLATE).render_as_string(hide_password=False))
    engine = make_engine(db_uri)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.execute(text("UPDATE journal_head SET epoch = :epoch"), {"epoch": str(uuid.uuid4())})
    finally:
        engine.dispose()


def _is_prepared(db_uri: str) -> bool:
    url = make_url(db_uri)
    if url.get_backend_name() == "sqlite":
        return Path(url.database or "").exists()
    engine = make_engine(db_uri)
    try:
        return bool(inspect(engine).get_table_names())
    finally:
        engine.dispose()


@cache
def _sqlite_template() -> Path:
    directory = tempfile.TemporaryDirectory(prefix="docsave-template-")
    _KEPT.append(directory)
    path = Path(directory.name) / "docsave.sqlite3"
    migrate.upgrade(f"sqlite:///{path}")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name], "all is in the one file"
    return path


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
"""Removed when the process ends."""


@cache
def _mariadb_template(db_uri: str) -> tuple[str, ...]:
    """The statements that make a copy of a migrated database on that server."""
    server = make_engine(make_url(db_uri).set(database="mysql").render_as_string(hide_password=False))
    with server.begin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE IF NOT EXISTS `{_TEMPLATE}` CHARACTER SET utf8mb4")
    server.dispose()
    migrate.upgrade(db_uri)
    engine = make_engine(db_uri)
    try:
        with engine.connect() as connection:
            return tuple(_dump(connection))
    finally:
        engine.dispose()


def _dump(connection: Connection) -> list[str]:
    """Tables, their few rows, and triggers."""
    escape = connection.connection.dbapi_connection.escape  # type: ignore[union-attr]
    tables = [row[0] for row in connection.exec_driver_sql("SHOW TABLES")]
    statements = ["SET foreign_key_checks = 0"]
    for table in tables:
        statements.append(connection.exec_driver_sql(f"SHOW CREATE TABLE `{table}`").one()[1])
        for row in connection.exec_driver_sql(f"SELECT * FROM `{table}`"):  # noqa: S608 - a table of ours
            values = ", ".join(escape(value) for value in row)
            statements.append(f"INSERT INTO `{table}` VALUES ({values})")  # noqa: S608
    triggers = [row[0] for row in connection.exec_driver_sql("SHOW TRIGGERS")]
    statements += [connection.exec_driver_sql(f"SHOW CREATE TRIGGER `{name}`").one()[2] for name in triggers]
    return [*(statement.replace("%", "%%") for statement in statements), "SET foreign_key_checks = 1"]
