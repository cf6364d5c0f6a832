"""The migrations make exactly the schema of the models, on both databases."""

import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, column, insert, inspect, select, table, text

from docsave_services.db import migrate
from docsave_services.db.engine import make_engine
from docsave_services.db.models import Base
from docsave_services.domain.accounts import login_key
from docsave_services.files.rows import name_key
from tests.support.databases import prepare
from tests.support.mariadb import MariaDb


def test_migrations_and_models_agree(database_uri: str) -> None:
    """Nothing is missing and nothing too much."""
    assert migrate.is_ready(database_uri) is False
    migrate.upgrade(database_uri)
    assert migrate.is_ready(database_uri) is True
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


def test_each_migration_only_adds(database_uri: str) -> None:
    """No table or column goes, and new columns need no value: processes of the release before go on while the schema is
    already the next one."""
    engine = make_engine(database_uri)
    config = migrate._config()
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    before: dict[tuple[str, str], bool] = {}
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            for revision in revisions:
                command.upgrade(config, revision)
                connection.commit()
                after = _columns(connection)
                tables = {table for table, _ in before}
                assert set(before) <= set(after), revision
                assert [key for key in set(after) - set(before) if key[0] in tables and after[key]] == [], revision
                before = after
    finally:
        engine.dispose()


def _columns(connection: Connection) -> dict[tuple[str, str], bool]:
    """Every column, and whether a row cannot be written without naming it."""
    found = inspect(connection)
    return {
        (table, column["name"]): not column["nullable"] and column["default"] is None
        for table in found.get_table_names()
        for column in found.get_columns(table)
    }


def test_the_schema_of_a_newer_release_is_good_and_left_alone(database_uri: str) -> None:
    """A release that is taken back finds the newer schema, changes nothing, and works with it."""
    migrate.upgrade(database_uri)
    engine = make_engine(database_uri)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrate.is_ready(database_uri)
    migrate.upgrade(database_uri)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


def test_two_migrations_at_once_are_safe(database_uri: str) -> None:
    """One works, the other waits and finds it done."""
    code = "import sys; from docsave_services.db import migrate; migrate.upgrade(sys.argv[1])"
    arguments = [sys.executable, "-W", "ignore", "-c", code, database_uri]
    processes = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    results = [(p.communicate(timeout=60)[1], p.returncode) for p in processes]
    assert [code for _, code in results] == [0, 0, 0], results
    assert migrate.is_ready(database_uri)


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


def test_a_database_that_allows_no_triggers_is_migrated_all_the_same(mariadb: MariaDb) -> None:
    """With the binary log on, MySQL lets only its own staff make triggers; the audit trail is then kept without."""
    uri = mariadb.fresh_uri()
    root = make_engine(uri)
    database = root.url.database
    with root.connect() as connection:
        connection.exec_driver_sql("CREATE USER ordinary@'127.0.0.1'")
        connection.exec_driver_sql(f"GRANT ALL ON `{database}`.* TO ordinary@'127.0.0.1'")
    try:
        ordinary = uri.replace("//root@", "//ordinary@")
        migrate.upgrade(ordinary)
        assert migrate.is_ready(ordinary)
        with root.connect() as connection:
            assert "audit_entry" in inspect(connection).get_table_names()
            assert connection.exec_driver_sql(f"SHOW TRIGGERS FROM `{database}`").all() == []
    finally:
        with root.connect() as connection:
            connection.exec_driver_sql("DROP USER ordinary@'127.0.0.1'")
        root.dispose()
        mariadb.drop(uri)


def test_accounts_of_the_first_schema_are_kept(database_uri: str) -> None:
    """An upgrade of a system in use adds tables, and its accounts and files stay as they were."""
    engine = make_engine(database_uri)
    try:
        with engine.connect() as connection:
            config = migrate._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            connection.execute(
                text(
                    "INSERT INTO user (login, login_key, name, password_hash, role, active, token_version, created_at,"
                    " updated_at) VALUES ('Ann', 'ann', 'Ann', 'x', 'admin', 1, 0, '2026-01-01', '2026-01-01')"
                )
            )
            connection.commit()
        migrate.upgrade(database_uri)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT login, role FROM user")).all() == [("Ann", "admin")]
            assert connection.execute(text("SELECT COUNT(*) FROM session")).scalar() == 0
    finally:
        engine.dispose()


def test_files_of_the_second_schema_are_kept(database_uri: str) -> None:
    """Names are compared without accents from then on, the trash is marked, what files take up is counted; all rows
    stay as they were, and the way back leads to the same rows."""
    engine = make_engine(database_uri)
    names = ["Ärger.TXT", "e\u0301t\u00e9", "Straße", "a ", "b", "c"]
    try:
        with engine.connect() as connection:
            config = migrate._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0002")
            _insert_accounts_and_files(connection, names)
            before = _rows_of_0002(connection)
            head = connection.execute(text("SELECT last, epoch FROM journal_head")).all()
            connection.commit()

            for _ in range(2):
                command.upgrade(config, "head")
                rows = connection.execute(text("SELECT name_key, trashed, folder, labels FROM file ORDER BY id")).all()
                assert [row.name_key for row in rows] == [name_key(name) for name in names]
                assert rows[0].name_key == "arger.txt"
                assert [bool(row.trashed) for row in rows] == [False, False, True, False, False, True]
                assert {(row.folder, row.labels) for row in rows} == {("", None)}
                usage = connection.execute(text("SELECT user_id, files, used_bytes FROM file_usage ORDER BY 1")).all()
                assert usage == [(1, 4, 10 + 20 + 30 + 40), (2, 1, 50)]
                query = "SELECT DISTINCT folder, labels, permanent FROM file_event"
                assert [(f, x, bool(p)) for f, x, p in connection.execute(text(query))] == [("", None, False)]
                assert connection.execute(text("SELECT COUNT(*) FROM file_label")).scalar() == 0
                connection.commit()
                command.downgrade(config, "0002")
                assert _rows_of_0002(connection) == before
                assert connection.execute(text("SELECT last, epoch FROM journal_head")).all() == head
                assert not {"file_usage", "file_label"} & set(inspect(connection).get_table_names())
                connection.commit()
    finally:
        engine.dispose()


def _rows_of_0002(connection: Connection) -> list[Sequence[Any]]:
    """What must survive, column by column."""
    columns = {
        "file": "id user_id name path size media_type sha256 version created_at updated_at deleted_at",
        "file_event": "event_id type file_id user_id name path size sha256 version at by change_key dispatched",
    }
    queries = [select(*map(column, c.split())).select_from(table(t)).order_by(text("1")) for t, c in columns.items()]
    return [connection.execute(query).all() for query in queries]


def _insert_accounts_and_files(connection: Connection, names: list[str]) -> None:
    """Two users; six files of 10, 20… bytes, the last but one the second user's and the last nobody's."""

    def put(target: str, **values: Any) -> None:
        connection.execute(insert(table(target, *map(column, values))).values(values))

    made, changed = "2026-01-01 00:00:00.000000", "2026-01-02 00:00:00.000000"
    account = {"name": "x", "password_hash": "x", "role": "user", "active": 1, "token_version": 0}
    for user_id in (1, 2):
        login = f"user{user_id}"
        put("user", id=user_id, login=login, login_key=login, created_at=made, updated_at=made, **account)
    same = {"path": "p", "media_type": "t/x", "sha256": "0" * 64, "version": 1}
    for number, name in enumerate(names, start=1):
        row = {**same, "user_id": {5: 2, 6: None}.get(number, 1), "name": name, "size": number * 10}
        deleted = changed if number in (3, 6) else None
        times = {"created_at": made, "updated_at": changed, "deleted_at": deleted}
        put("file", id=number, name_key=name.casefold(), protected_version=0, **row, **times)
        put("file_event", event_id=number, file_id=number, type="File_create", at=made, dispatched=1, **row)
    connection.execute(text("UPDATE journal_head SET last = 6"))


def test_logins_are_compared_anew(database_uri: str) -> None:
    """An account whose key was made by an older rule can log in after the upgrade."""
    logins = ["\u01f0org", "Ann"]  # the first letter has no composed form without case
    engine = make_engine(database_uri)
    try:
        with engine.connect() as connection:
            config = migrate._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0002")
            insert = text(
                "INSERT INTO user (login, login_key, name, password_hash, role, active, token_version, created_at,"
                " updated_at) VALUES (:login, :key, '', 'x', 'user', 1, 0, '2026-01-01', '2026-01-01')"
            )
            for login in logins:
                connection.execute(insert, {"login": login, "key": unicodedata.normalize("NFC", login).casefold()})
            connection.commit()
        migrate.upgrade(database_uri)
        with engine.connect() as connection:
            keys = connection.execute(text("SELECT login_key FROM user ORDER BY id")).scalars().all()
        assert keys == [login_key(login) for login in logins]
        assert keys[0] != unicodedata.normalize("NFC", logins[0]).casefold()
    finally:
        engine.dispose()


def test_what_tests_copy_is_what_migrating_makes(
    database_uri: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Tables, indices, triggers and rows; only the journal's epoch is another each time."""
    mariadb = database_uri.startswith("mysql")
    other = request.getfixturevalue("mariadb").fresh_uri() if mariadb else f"sqlite:///{tmp_path}/other.sqlite3"
    migrate.upgrade(database_uri)
    prepare(other)
    migrated, copied = (_everything(uri) for uri in (database_uri, other))
    prepare(other)
    assert _everything(other) == copied, "one that is there stays, as it does when migrating"
    assert migrated.pop("epoch") != copied.pop("epoch")
    assert migrated == copied
    if mariadb:
        request.getfixturevalue("mariadb").drop(other)


def _everything(db_uri: str) -> dict[str, object]:
    engine = make_engine(db_uri)
    with engine.begin() as connection:
        found: dict[str, object] = {"epoch": connection.execute(text("SELECT epoch FROM journal_head")).scalar()}
        connection.execute(text("UPDATE journal_head SET epoch = ''"))
        for table in inspect(connection).get_table_names():
            quoted = engine.dialect.identifier_preparer.quote(table)
            found[table] = connection.exec_driver_sql(f"SELECT * FROM {quoted}").all()  # noqa: S608
            if engine.dialect.name == "mysql":
                found[f"{table}:"] = connection.exec_driver_sql(f"SHOW CREATE TABLE `{table}`").one()
        triggers = (
            "SHOW TRIGGERS" if engine.dialect.name == "mysql" else "SELECT name, tbl_name, sql FROM sqlite_master"
        )
        found["triggers"] = [tuple(row)[:5] for row in connection.exec_driver_sql(triggers)]
        connection.rollback()
    engine.dispose()
    return found
