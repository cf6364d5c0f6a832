"""Running work in a transaction: commit is what success means, everything else rolls back.

Locks are waited for in Python with jitter, a bounded number of times; a database that stays away or locked is
``DatabaseUnavailable``. Work that writes must not yield to other green threads except through the database itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import eventlet
import sqlalchemy.exc
from eventlet.semaphore import Semaphore
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from docsave_services import tracing
from docsave_services.db.engine import BEGIN_IMMEDIATE
from docsave_services.errors import DatabaseUnavailable
from docsave_services.log import get_logger
from docsave_services.metrics.instruments import DB_FAILURES, DB_SECONDS

_log = get_logger(__name__)
T = TypeVar("T")

LOCK_RETRIES_SQLITE = 400
LOCK_PAUSE_SQLITE_SECONDS = 0.005
"""Another process holds SQLite's write lock for the milliseconds of one commit: about 4 s in all."""

LOCK_RETRIES = 3
LOCK_PAUSE_SECONDS = 0.05

_MYSQL_LOCK_WAIT = 1205
_MYSQL_DEADLOCK = 1213


class Transactions:
    """Transactions on one engine, shared by all workers of a service."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._writer = Semaphore(1)

    def write(self, work: Callable[[Session], T], repeatable: bool = False) -> T:
        """Commit what ``work`` does and return its result; run it again after a lock conflict.

        ``repeatable`` work recognises what it has done before, so it is also run again, once, when the connection
        broke and nobody knows whether the commit arrived.
        """
        with DB_SECONDS.labels("write").time(), tracing.span("transaction"):
            if not self._sqlite:
                return self._attempt(work, {}, repeatable)
            # Green threads of one process queue here: waiting inside SQLite would deadlock with the lock's holder.
            with self._writer:
                return self._attempt(work, BEGIN_IMMEDIATE, repeatable)

    def read(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` on a fresh snapshot."""
        with DB_SECONDS.labels("read").time(), tracing.span("read transaction"):
            return self._attempt(work, {}, repeatable=True)

    def _attempt(self, work: Callable[[Session], T], options: dict[str, str], repeatable: bool) -> T:
        locked = broken = 0
        while True:
            try:
                return self._once(work, options)
            except sqlalchemy.exc.DBAPIError as exc:
                if self._is_lock(exc) and locked < (LOCK_RETRIES_SQLITE if self._sqlite else LOCK_RETRIES):
                    locked += 1
                    DB_FAILURES.labels("lock").inc()
                    pause = LOCK_PAUSE_SQLITE_SECONDS if self._sqlite else LOCK_PAUSE_SECONDS * locked
                    eventlet.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
                elif exc.connection_invalidated and repeatable and not broken:
                    broken += 1
                    DB_FAILURES.labels("connection").inc()
                elif exc.connection_invalidated or isinstance(
                    exc, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError
                ):
                    DB_FAILURES.labels("unavailable").inc()
                    _log.warning("database_unavailable", error=str(exc.orig))
                    raise DatabaseUnavailable from exc
                else:
                    raise
            except sqlalchemy.exc.TimeoutError as exc:
                DB_FAILURES.labels("unavailable").inc()
                _log.warning("database_pool_exhausted")
                raise DatabaseUnavailable from exc

    def _once(self, work: Callable[[Session], T], options: dict[str, str]) -> T:
        with Session(self.engine, expire_on_commit=False) as session:
            session.connection(execution_options=options)
            result = work(session)
            session.commit()
            return result

    def _is_lock(self, exc: sqlalchemy.exc.DBAPIError) -> bool:
        if self._sqlite:
            return "locked" in str(exc.orig) or "busy" in str(exc.orig)
        code = exc.orig.args[0] if exc.orig is not None and exc.orig.args else None
        return code in (_MYSQL_LOCK_WAIT, _MYSQL_DEADLOCK)
