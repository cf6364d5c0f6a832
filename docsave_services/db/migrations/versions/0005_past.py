"""A user's files in the order of their ids as of a place in the journal."""

from alembic import op

revision = "0005"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_file_event_user_file", "file_event", ["user_id", "file_id", "version"])


def downgrade() -> None:
    op.drop_index("ix_file_event_user_file", "file_event")
