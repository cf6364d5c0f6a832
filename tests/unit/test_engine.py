"""Engines are set up for many short transactions."""

from __future__ import annotations

from pathlib import Path

from docsave_services.db.engine import make_engine


def test_the_connection_that_was_used_last_is_used_next(tmp_path: Path) -> None:
    """It knows the database's pages; others would read them again."""
    engine = make_engine(f"sqlite:///{tmp_path}/a.sqlite3")
    first, second = engine.connect(), engine.connect()
    last = second.connection.dbapi_connection
    first.close()
    second.close()
    with engine.connect() as third:
        assert third.connection.dbapi_connection is last
    engine.dispose()
