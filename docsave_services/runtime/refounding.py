"""An empty database filled from what a backup tells: accounts, files, the journal. One transaction: all or nothing.

This is the one way into the database beside the services; the backup's commands for rebuilding use it (ADR 015).
Content is not its business: that has to be in the blob store before.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from docsave_services.contracts import FILE_DELETE, ChangesPage, FileEvent, Hold, PastPage, UserDetails
from docsave_services.db import journal, migrate
from docsave_services.db.engine import make_engine
from docsave_services.db.file_models import (
    WHOLE_FILE,
    BackupProgressRow,
    FileHoldRow,
    FileLabelRow,
    FileRefRow,
    FileUsageRow,
)
from docsave_services.db.models import FileEventRow, FileRow, JournalHeadRow, UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.domain import accounts
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.references import key_problem, system_problem
from docsave_services.errors import DatabaseUnavailable
from docsave_services.files.past import PastQuery, list_past
from docsave_services.files.rows import labels_text, name_key
from docsave_services.runtime.service import database_uri
from docsave_services.storage import blob_key
from docsave_services.times import now
from docsave_services.users import handlers
from docsave_services.users.passwords import hash_password

ROWS_AT_ONCE = 500

IDS_SKIPPED = 1000
"""Ids left out after the highest known one: those that were given in the last moments before the loss, and that the
backup never heard of, must not come to mean another file or user."""

DEFAULT_MEDIA_TYPE = "application/octet-stream"

History = Sequence[FileEvent]
"""All versions of one file that are known, oldest first."""


@dataclass(frozen=True, slots=True)
class Foundation:
    """What a database is made of. ``histories`` may be called again; ``last`` is the newest event of the journal, of
    which everything is copied. ``file_id_max`` and ``user_id_max`` are the highest ids that were ever seen. ``holds``
    are the legal holds in force."""

    epoch: str
    accounts: Mapping[int, UserDetails]
    histories: Callable[[], Iterable[History]]
    last: int
    file_id_max: int
    user_id_max: int
    holds: Sequence[Hold] = ()


@dataclass(slots=True)
class Founded:
    """What a database was filled with. ``nameless`` are users whose login is not known, or another's by now: they got
    a made-up one and cannot log in before an administrator enables them."""

    users: int = 0
    files: int = 0
    trashed: int = 0
    removed: int = 0
    events: int = 0
    nameless: list[int] = field(default_factory=list)


class Ground:
    """The database of the settings (or of ``db_uri``), migrated; disposed of with the ``with`` block."""

    def __init__(self, db_uri: str) -> None:
        """``DatabaseUnavailable`` for one that does not answer, here and from every method."""
        with _coded_errors():
            migrate.upgrade(db_uri)
        self._transactions = Transactions(make_engine(db_uri))

    @classmethod
    def of_settings(cls, resolved: Mapping[str, str]) -> Self:
        """The database that the services of these settings use."""
        return cls(database_uri(dict(resolved)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._transactions.engine.dispose()

    def head(self) -> Cursor:
        """The newest place in the journal."""
        return self._transactions.read(journal.head)

    def is_empty(self) -> bool:
        """Whether no account, no file and no change has ever been in it."""
        tables = (UserRow.id, FileRow.id, FileEventRow.event_id)
        counts = [self._transactions.read(lambda s, c=c: s.scalar(select(func.count(c)))) for c in tables]  # type: ignore[misc]
        return not any(counts)

    def found(self, foundation: Foundation) -> Founded:
        """Fill the empty database. Accounts come with a password that nobody knows."""
        unknown_password = hash_password(secrets.token_urlsafe(48))
        with _coded_errors():
            self._skip_ids(foundation)
            return self._transactions.write(lambda s: _Filling(s, foundation, unknown_password).run())

    def changes(self, since: int, limit: int) -> ChangesPage:
        """The journal, as ``files.changes`` gives it."""
        return self._transactions.read(lambda s: journal.read(s, since, limit, None))

    def files(self, at: str, after: str | None, limit: int, deleted: bool) -> PastPage:
        """Everybody's files, as ``files.list_past`` gives them."""
        return list_past(self._transactions, PastQuery(at, limit=limit, after=after, deleted=deleted))

    def accounts(self) -> Iterator[UserDetails]:
        """Every account, as ``users.list`` gives it in pages."""
        after: str | None = None
        while True:
            page = handlers.page_users(self._transactions, ROWS_AT_ONCE, after, None)
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def _skip_ids(self, foundation: Foundation) -> None:
        """Where MySQL goes on numbering. SQLite has it in a table: that is written with the rows."""
        if self._transactions.engine.dialect.name == "sqlite":
            return
        with self._transactions.engine.begin() as connection:
            for table, highest in _highest(foundation):
                connection.execute(text(f"ALTER TABLE `{table}` AUTO_INCREMENT = {highest + 1:d}"))


@contextlib.contextmanager
def _coded_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as exc:
        raise DatabaseUnavailable(str(exc)) from exc


def _highest(foundation: Foundation) -> list[tuple[str, int]]:
    return [("file", foundation.file_id_max + IDS_SKIPPED), ("user", foundation.user_id_max + IDS_SKIPPED)]


class _Filling:
    """The one transaction."""

    def __init__(self, session: Session, foundation: Foundation, password_hash: str) -> None:
        self._session = session
        self._foundation = foundation
        self._password_hash = password_hash
        self._founded = Founded()
        self._usage: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        self._waiting: dict[Any, list[dict[str, Any]]] = {table: [] for table in _TABLES}
        self._users: set[int] = set()
        self._logins: set[str] = set()

    def run(self) -> Founded:
        """Add everything; the journal's head comes last."""
        for account in self._foundation.accounts.values():
            row = _user_row(account)
            if row["login_key"] in self._logins:  # one was renamed, and only the other's file is as it was since
                self._add_nameless(account["id"])
            else:
                self._add_user(row)
        for history in self._foundation.histories():
            self._add_history(history)
            if any(len(rows) >= ROWS_AT_ONCE for rows in self._waiting.values()):
                self._flush()
        for user_id, (files, size) in self._usage.items():
            self._waiting[FileUsageRow].append({"user_id": user_id, "files": files, "used_bytes": size})
        for hold in self._foundation.holds:
            place = {"file_id": hold["file_id"], "version": hold["version"] or WHOLE_FILE}
            self._waiting[FileHoldRow].append({**place, "user_id": hold["user_id"]})
        self._flush()
        self._write_heads()
        return self._founded

    def _add_nameless(self, user_id: int) -> None:
        self._add_user(_nameless_row(user_id))
        self._founded.nameless.append(user_id)

    def _add_user(self, row: dict[str, Any]) -> None:
        self._users.add(row["id"])
        self._logins.add(row["login_key"])
        self._waiting[UserRow].append({**row, "password_hash": self._password_hash, "token_version": 0})
        self._founded.users += 1

    def _add_history(self, history: History) -> None:
        user_id = history[-1]["user_id"]
        if user_id and user_id not in self._users:
            self._add_nameless(user_id)
        for event in history:
            self._waiting[FileEventRow].append(_event_row(event))
            self._founded.events += 1
        newest = history[-1]
        if newest.get("permanent"):
            self._founded.removed += 1
            return
        self._add_file(history[0], newest)

    def _add_file(self, first: FileEvent, newest: FileEvent) -> None:
        row = _file_row(first, newest)
        self._waiting[FileRow].append(row)
        self._founded.files += 1
        self._founded.trashed += row["trashed"]
        usage = self._usage[row["user_id"]] if row["user_id"] else [0, 0]
        usage[0] += 1
        usage[1] += row["size"]
        of_file = {"file_id": row["id"], "user_id": row["user_id"]}
        for label, value in newest.get("labels", {}).items():
            self._waiting[FileLabelRow].append({**of_file, "label": label, "value": value})
        for system, key in first.get("labels", {}).items():
            # A document that another system saved under a reference began with it as a label, and with its name.
            if row["user_id"] and not system_problem(system) and not key_problem(key):
                reference = {"system": system, "ref_key": key, "name": first["name"]}
                self._waiting[FileRefRow].append({**of_file, **reference})

    def _flush(self) -> None:
        for table, rows in self._waiting.items():
            for start in range(0, len(rows), ROWS_AT_ONCE):
                statement = insert(table)
                if table is FileRefRow:  # the oldest document has the reference
                    sqlite = self._session.get_bind().dialect.name == "sqlite"
                    statement = statement.prefix_with("OR IGNORE" if sqlite else "IGNORE")
                self._session.connection().execute(statement, rows[start : start + ROWS_AT_ONCE])
            rows.clear()

    def _write_heads(self) -> None:
        foundation = self._foundation
        if self._session.get_bind().dialect.name == "sqlite":
            for table, highest in _highest(foundation):
                self._session.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table})
                values = {"name": table, "seq": highest}
                self._session.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), values)
        self._session.add(BackupProgressRow(id=1, epoch=foundation.epoch, event_id=foundation.last))
        self._session.flush()
        self._session.execute(update(JournalHeadRow).values(last=foundation.last, epoch=foundation.epoch))


_TABLES = (UserRow, FileRow, FileLabelRow, FileRefRow, FileUsageRow, FileEventRow, FileHoldRow)
"""In an order in which each row finds those that it points to."""


def _user_row(account: UserDetails) -> dict[str, Any]:
    return {
        "id": account["id"],
        "login": account["login"],
        "login_key": accounts.login_key(account["login"]),
        "name": account["name"],
        "role": account["role"],
        "active": account["active"],
        "quota_bytes": account["quota_bytes"],
        "created_at": _moment(account["created_at"]),
        "updated_at": _moment(account["updated_at"]),
    }


def _nameless_row(user_id: int) -> dict[str, Any]:
    login, moment = f"lost-account-{user_id}", now()
    return {
        "id": user_id,
        "login": login,
        "login_key": accounts.login_key(login),
        "name": login,
        "role": "user",
        "active": False,
        "quota_bytes": None,
        "created_at": moment,
        "updated_at": moment,
    }


def _event_row(event: FileEvent) -> dict[str, Any]:
    return {
        "event_id": event["event_id"],
        "type": event["type"],
        "file_id": event["id"],
        "change_key": None,
        "by": event.get("by"),
        "at": _moment(event["at"]),
        "permanent": bool(event.get("permanent", False)),
        "dispatched": True,
        **_common(event),
    }


def _file_row(first: FileEvent, newest: FileEvent) -> dict[str, Any]:
    trashed = newest["type"] == FILE_DELETE
    return {
        "id": newest["id"],
        "name_key": name_key(newest["name"]),
        "protected_version": newest["version"],
        "created_at": _moment(first["at"]),
        "updated_at": _moment(newest["at"]),
        "deleted_at": _moment(newest["at"]) if trashed else None,
        "trashed": trashed,
        **_common(newest),
    }


def _common(event: FileEvent) -> dict[str, Any]:
    """What a file and its entry in the journal have in common. Entries of the first release lack some of it."""
    return {
        "user_id": event["user_id"] or None,
        "name": event["name"],
        "path": blob_key(event["sha256"]),
        "size": event["size"],
        "media_type": event.get("media_type") or DEFAULT_MEDIA_TYPE,
        "sha256": event["sha256"],
        "version": event["version"],
        "folder": event.get("folder", ""),
        "labels": labels_text(event.get("labels", {})),
    }


def _moment(at: str) -> datetime:
    moment = datetime.fromisoformat(at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
