"""The last failure of a webhook, which a success does not wipe out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("webhook", sa.Column("failed_at", MOMENT, nullable=True))
    op.add_column("webhook", sa.Column("failed_code", sa.Integer(), nullable=True))
    op.add_column("webhook", sa.Column("failed_error", sa.String(length=32), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("webhook") as table:
        for name in ("failed_at", "failed_code", "failed_error"):
            table.drop_column(name)
