"""The migrations make exactly the schema of the models, on both databases."""

import subprocess
import sys

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from docsave_services.db import migrate
from docsave_services.db.engine import make_engine
from docsave_services.db.models import Base


def test_migrations_and_models_agree(database_uri: str) -> None:
    """Nothing is missing and nothing too much."""
    assert migrate.at_head(database_uri) is False
    migrate.upgrade(database_uri)
    assert migrate.at_head(database_uri) is True
    engine = make_engine(database_uri)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_the_asked_for_columns_come_first(database_uri: str) -> None:
    """`file(id, user_id, name, path)` with its foreign key to `user(id)`, in this order."""
    migrate.upgrade(database_uri)
    engine = make_engine(database_uri)
    columns = inspect(engine).get_columns("file")
    assert [c["name"] for c in columns][:4] == ["id", "user_id", "name", "path"]
    assert [c["nullable"] for c in columns][:4] == [False, True, False, False]
    keys = inspect(engine).get_foreign_keys("file")
    assert [(k["constrained_columns"], k["referred_table"]) for k in keys] == [(["user_id"], "user")]
    engine.dispose()


def test_migrating_again_changes_nothing(database_uri: str) -> None:
    """The journal's epoch stays: a restart must not expire every cursor."""
    engine = make_engine(database_uri)
    epochs = []
    for _ in range(2):
        migrate.upgrade(database_uri)
        with engine.connect() as connection:
            epochs.append(connection.execute(text("SELECT epoch, last FROM journal_head")).one())
    assert epochs[0] == epochs[1]
    assert epochs[0].last == 0
    engine.dispose()


def test_two_migrations_at_once_are_safe(database_uri: str) -> None:
    """One works, the other waits and finds it done."""
    code = "import sys; from docsave_services.db import migrate; migrate.upgrade(sys.argv[1])"
    command = [sys.executable, "-W", "ignore", "-c", code, database_uri]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    results = [(p.communicate(timeout=60)[1], p.returncode) for p in processes]
    assert [code for _, code in results] == [0, 0, 0], results
    assert migrate.at_head(database_uri)


def test_sqlite_is_set_up_to_be_durable(database_uri: str) -> None:
    """WAL, full sync and foreign keys on every connection; MariaDB reads committed rows and waits briefly for locks."""
    engine = make_engine(database_uri)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            pragmas = ("journal_mode", "synchronous", "foreign_keys")
            assert [connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in pragmas] == ["wal", 2, 1]
        else:
            assert connection.get_isolation_level() == "READ COMMITTED"
            assert connection.exec_driver_sql("SELECT @@innodb_lock_wait_timeout").scalar() == 2
    engine.dispose()
