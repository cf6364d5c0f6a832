"""The database dies, stays away, is locked by somebody else, or does not say whether it committed."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import eventlet
import pymysql

from tests.faults.catalogue.fault import Fault, Place

AWAY_SECONDS = 60.0
COMMIT = b"\x03COMMIT"


class MariaDbKilled(Fault):
    """kill -9 of MariaDB, twice."""

    databases = ("mariadb",)
    times = 2

    def __init__(self) -> None:
        super().__init__("mariadb-killed")

    def inject(self, place: Place) -> None:
        assert place.mariadb is not None
        place.mariadb.kill()

    def heal(self, place: Place) -> None:
        assert place.mariadb is not None
        place.mariadb.start()


class MariaDbAway(MariaDbKilled):
    """No MariaDB for a minute."""

    times = 1
    hold_seconds = AWAY_SECONDS

    def __init__(self) -> None:
        Fault.__init__(self, "mariadb-away")


class BadLine(Fault):
    """The line to MariaDB is cut, slow, or swallows everything without a word; see ``CuttingProxy``."""

    databases = ("mariadb",)
    stage = "lines"

    def __init__(self, name: str, seconds: float, **state: float | bool) -> None:
        super().__init__(f"mariadb-{name}")
        self.hold_seconds = seconds
        self._state = state

    def inject(self, place: Place) -> None:
        assert place.database is not None
        place.database.set(**self._state)
        if self._state.get("refusing"):
            place.database.cut()

    def heal(self, place: Place) -> None:
        assert place.database is not None
        place.database.set(pause=0.0, refusing=False, black_hole=False)


class CommitUnanswered(Fault):
    """MariaDB commits, and the connection breaks before it can say so: every third time for ten seconds."""

    databases = ("mariadb",)
    stage = "lines"
    hold_seconds = 10.0
    EVERY = 3

    def __init__(self) -> None:
        super().__init__("mariadb-commit-unanswered")

    def inject(self, place: Place) -> None:
        assert place.database is not None
        commits = iter(range(10**9))
        place.database.loses_answer_to = lambda piece: COMMIT in piece and next(commits) % self.EVERY == 0

    def heal(self, place: Place) -> None:
        assert place.database is not None
        place.database.loses_answer_to = None


class LockWaits(Fault):
    """Somebody else holds the journal's head, longer than a lock is waited for."""

    databases = ("mariadb",)
    hold_seconds = 7.0

    def __init__(self) -> None:
        super().__init__("mariadb-lock-waits")
        self._holder: pymysql.Connection | None = None

    def inject(self, place: Place) -> None:
        self._holder = _connect(place)
        self._holder.begin()
        self._holder.cursor().execute("SELECT last FROM journal_head FOR UPDATE")

    def heal(self, place: Place) -> None:
        if self._holder is not None:
            self._holder.close()


class Deadlocks(Fault):
    """Somebody else takes the same locks in the opposite order, again and again."""

    databases = ("mariadb",)
    hold_seconds = 15.0

    def __init__(self) -> None:
        super().__init__("mariadb-deadlocks")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def inject(self, place: Place) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._provoke, args=(place,), daemon=True)
        self._thread.start()

    def heal(self, place: Place) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)

    def _provoke(self, place: Place) -> None:
        with contextlib.closing(_connect(place)) as connection:
            while not self._stop.is_set():
                with contextlib.suppress(pymysql.MySQLError):
                    connection.begin()
                    cursor = connection.cursor()
                    cursor.execute("SELECT last FROM journal_head FOR UPDATE")
                    eventlet.sleep(0.05)
                    cursor.execute("SELECT id FROM file ORDER BY id DESC LIMIT 50 FOR UPDATE")
                    eventlet.sleep(0.02)
                connection.rollback()
                eventlet.sleep(0.05)


class SqliteLocked(Fault):
    """Another process holds SQLite's write lock, longer than docsave waits for it."""

    databases = ("sqlite",)

    def __init__(self, seconds: float) -> None:
        super().__init__(f"sqlite-locked-{seconds:.0f}s")
        self.hold_seconds = seconds
        self._lock: contextlib.ExitStack | None = None

    def inject(self, place: Place) -> None:
        self._lock = contextlib.ExitStack()
        self._lock.enter_context(_sqlite_locked(place))

    def heal(self, place: Place) -> None:
        if self._lock is not None:
            self._lock.close()


@contextlib.contextmanager
def _sqlite_locked(place: Place) -> Iterator[None]:
    path = place.target.system.data_dir / "docsave.sqlite3"
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


def _connect(place: Place) -> pymysql.Connection:
    where = urlsplit(place.target.db_uri)
    return pymysql.connect(
        host=where.hostname or "",
        port=where.port or 0,
        user="root",
        database=where.path.strip("/"),
        connect_timeout=10,
        read_timeout=30,
    )


FAULTS: list[Fault] = [
    MariaDbKilled(),
    MariaDbAway(),
    BadLine("cut", 0.0, refusing=True),
    BadLine("slow", 20.0, pause=0.2),
    BadLine("black-hole", 30.0, black_hole=True),
    CommitUnanswered(),
    LockWaits(),
    Deadlocks(),
    SqliteLocked(3.0),
    SqliteLocked(20.0),
]
