"""The database as a Nameko dependency."""

from __future__ import annotations

from typing import Any

import eventlet
import nameko_sqlalchemy
from sqlalchemy import text

from docsave_services.db.engine import make_engine
from docsave_services.db.models import Base
from docsave_services.db.transactions import Transactions
from docsave_services.errors import DatabaseUnavailable
from docsave_services.settings import Settings

CHECK_SECONDS = 0.5
"""Less than whoever asks for a service's health waits, so that a database that hangs is told from its service."""

_OPEN: dict[str, Transactions] = {}


def transactions_for(db_uri: str) -> Transactions:
    """The process's one ``Transactions`` on that database: SQLite's writers queue in it, so there must not be two."""
    if db_uri not in _OPEN:
        _OPEN[db_uri] = Transactions(make_engine(db_uri))
    return _OPEN[db_uri]


class Database(nameko_sqlalchemy.Database):
    """Injects ``Transactions``. The engine follows from ``DOCSAVE_DB_URI``; the base class disposes of it."""

    def __init__(self) -> None:
        super().__init__(Base)

    def setup(self) -> None:
        self.transactions = transactions_for(Settings.from_config(self.container.config).db_uri)
        self.engine = self.transactions.engine

    def get_dependency(self, worker_ctx: Any) -> Transactions:
        return self.transactions

    def worker_teardown(self, worker_ctx: Any) -> None:
        """Nothing to close: a transaction never outlives the call that opened it."""


def check_database(transactions: Transactions) -> dict[str, str]:
    """The database's part of a service's health; ``DatabaseUnavailable`` when it does not answer, and soon."""
    # A silent time-out is no Exception: SQLAlchemy gives up the connection, on which half an answer may still come.
    with eventlet.Timeout(CHECK_SECONDS, False):
        transactions.read(lambda session: session.execute(text("SELECT 1")).scalar())
        return {"database": "ok"}
    raise DatabaseUnavailable
