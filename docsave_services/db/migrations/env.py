"""Alembic's entry: run the migrations on the connection that ``docsave_services.db.migrate`` opened."""

from alembic import context

from docsave_services.db import account_models, file_models, webhook_models  # noqa: F401 - their tables belong to Base
from docsave_services.db.models import Base

connection = context.config.attributes.get("connection")
if connection is None:
    from docsave_services.db.engine import make_engine

    connection = make_engine(context.config.get_main_option("sqlalchemy.url") or "").connect()

# Alembic thinks that SQLite cannot change tables in a transaction. It can: all migrations together, or none, and nobody
# else begins with the same ones meanwhile.
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True if connection.dialect.name == "sqlite" else None,
)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
