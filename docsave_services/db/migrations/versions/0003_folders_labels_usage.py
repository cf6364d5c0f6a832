"""Folders, labels and references; repeated requests; what files take up; how far the backup has come."""

import unicodedata
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

# Frozen here: a migration must not change when the models do.
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
LISTED = ("name_key", "size", "created_at", "updated_at", "folder")
ROWS_AT_ONCE = 1000


def upgrade() -> None:
    op.add_column("file", sa.Column("trashed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("file", sa.Column("folder", _exact_text(512), nullable=False, server_default=""))
    op.add_column("file", sa.Column("labels", sa.Text(), nullable=True))
    op.add_column("file_event", sa.Column("folder", sa.String(length=512), nullable=False, server_default=""))
    op.add_column("file_event", sa.Column("labels", sa.Text(), nullable=True))
    op.add_column("file_event", sa.Column("permanent", sa.Boolean(), nullable=False, server_default=sa.false()))
    _fill_columns()
    _fill_login_keys()
    op.create_index("ix_file_event_path", "file_event", ["path", "event_id"])
    op.create_index("ix_file_list", "file", ["user_id", "trashed", "id"])
    for column in LISTED:
        op.create_index(f"ix_file_list_{column}", "file", ["user_id", "trashed", column, "id"])
    op.create_index("ix_file_deleted_at", "file", ["deleted_at"])
    op.drop_index("ix_file_user_id_name_key", "file")

    op.create_table(
        "file_label",
        sa.Column("file_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("value", _exact_text(255), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["file.id"], name=op.f("fk_file_label_file_id")),
        sa.PrimaryKeyConstraint("file_id", "label", name=op.f("pk_file_label")),
        **OPTIONS,
    )
    op.create_index("ix_file_label_search", "file_label", ["user_id", "label", "value", "file_id"])
    op.create_table(
        "file_ref",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("system", sa.String(length=64), nullable=False),
        sa.Column("ref_key", _exact_text(255), nullable=False),
        sa.Column("name", _exact_text(255), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["file.id"], name=op.f("fk_file_ref_file_id")),
        sa.PrimaryKeyConstraint("user_id", "system", "ref_key", "name", name=op.f("pk_file_ref")),
        **OPTIONS,
    )
    op.create_index("ix_file_ref_file_id", "file_ref", ["file_id"])
    op.create_table(
        "idempotency_key",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", _exact_text(255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency_key")),
        **OPTIONS,
    )
    op.create_index("ix_idempotency_key_created_at", "idempotency_key", ["created_at"])
    op.create_table(
        "file_usage",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_file_usage")),
        **OPTIONS,
    )
    op.execute(
        "INSERT INTO file_usage (user_id, files, used_bytes)"
        " SELECT user_id, COUNT(*), SUM(size) FROM file WHERE user_id IS NOT NULL GROUP BY user_id"
    )
    op.create_table(
        "backup_progress",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.String(length=36), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_progress")),
        **OPTIONS,
    )


def downgrade() -> None:
    op.drop_table("backup_progress")
    op.drop_table("file_usage")
    op.drop_table("idempotency_key")
    op.drop_table("file_ref")
    op.drop_table("file_label")
    op.create_index("ix_file_user_id_name_key", "file", ["user_id", "name_key", "id"])
    op.drop_index("ix_file_deleted_at", "file")
    for column in reversed(LISTED):
        op.drop_index(f"ix_file_list_{column}", "file")
    op.drop_index("ix_file_list", "file")
    op.drop_index("ix_file_event_path", "file_event")
    for table, column in (
        ("file_event", "permanent"),
        ("file_event", "labels"),
        ("file_event", "folder"),
        ("file", "labels"),
        ("file", "folder"),
        ("file", "trashed"),
    ):
        op.drop_column(table, column)


def _exact_text(length: int) -> Any:
    """Text in which spaces at the end count, as in SQLite."""
    dialect: Any = op.get_bind().dialect
    if dialect.name == "sqlite":
        return sa.String(length=length)
    return mysql.VARCHAR(length, collation="utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin")


def _fill_columns() -> None:
    """Set what follows from older columns: names are now compared without accents too."""
    file = sa.table("file", *map(sa.column, ("id", "name", "name_key", "trashed", "deleted_at")))
    connection = op.get_bind()
    connection.execute(file.update().where(file.c.deleted_at.is_not(None)).values(trashed=sa.true()))
    change = file.update().where(file.c.id == sa.bindparam("row")).values(name_key=sa.bindparam("key"))
    last = 0
    while rows := connection.execute(
        sa.select(file.c.id, file.c.name).where(file.c.id > last).order_by(file.c.id).limit(ROWS_AT_ONCE)
    ).all():
        connection.execute(change, [{"row": row.id, "key": _name_key(row.name)} for row in rows])
        last = rows[-1].id


def _fill_login_keys() -> None:
    """Logins are now compared by canonical caseless match. Where that makes two of them one, both keep their keys."""
    user = sa.table("user", *map(sa.column, ("id", "login", "login_key")))
    connection = op.get_bind()
    rows = connection.execute(sa.select(user.c.id, user.c.login, user.c.login_key)).all()
    taken = {row.login_key for row in rows}
    for row in rows:
        key = _login_key(row.login)
        if key not in taken:
            taken.add(key)
            connection.execute(user.update().where(user.c.id == row.id).values(login_key=key))


def _login_key(login: str) -> str:
    key = login.strip()
    for _ in range(4):
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFD", key).casefold())
    return key


def _name_key(name: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return unicodedata.normalize("NFKC", plain).casefold()[:512]
