"""Changing files: a batch of changes is one transaction, with one outcome for each (ARCHITECTURE, sections 1 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eventlet import tpool
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from docsave_services.contracts import (
    FILE_CREATE,
    FILE_DELETE,
    FILE_UPDATE,
    Change,
    FileEvent,
    Outcome,
    StoredFile,
)
from docsave_services.db import audit, journal
from docsave_services.db.audit import Actor
from docsave_services.db.models import FileEventRow, FileRow
from docsave_services.db.transactions import Transactions
from docsave_services.errors import BlobMissing, DocsaveError, NotFound
from docsave_services.files.rows import as_file, as_journal_entry, name_key
from docsave_services.files.validation import checked_change
from docsave_services.log import get_logger
from docsave_services.storage import BlobStore, sha256_of_key
from docsave_services.times import now

_log = get_logger(__name__)

DEFAULT_MEDIA_TYPE = "application/octet-stream"


@dataclass(slots=True)
class Applied:
    """What a batch did: an outcome for each change, in order, and the events that were committed."""

    outcomes: list[Outcome]
    events: list[FileEvent] = field(default_factory=list)


def apply_changes(transactions: Transactions, store: BlobStore, changes: Sequence[Change]) -> Applied:
    """Apply ``changes`` in one durable transaction. One that is refused leaves the others alone.

    A change whose ``change_key`` is in the journal already is not applied again and has the file's present state as
    its outcome. When the database refuses the batch as a whole, each change gets a transaction of its own.
    """
    sizes = tpool.execute(_blob_sizes, store, [change.get("path") for change in changes])
    try:
        return transactions.write(lambda s: _Batch(s, sizes).run(changes), repeatable=True)
    except IntegrityError:
        alone = [_apply_alone(transactions, sizes, change) for change in changes]
    return Applied([one.outcomes[0] for one in alone], [event for one in alone for event in one.events])


def _apply_alone(transactions: Transactions, sizes: dict[str, int], change: Change) -> Applied:
    """Apply one change, twice if need be: a copy of its message that was a moment faster is found the second time."""
    for _ in range(2):
        try:
            return transactions.write(lambda s: _Batch(s, sizes).run([change]), repeatable=True)
        except IntegrityError as exc:
            _log.warning("change_refused_by_database", error=str(exc.orig))
    return Applied([_refusal(NotFound("there is no such user"))])


class _Batch:
    """One batch inside its transaction."""

    def __init__(self, session: Session, sizes: dict[str, int]) -> None:
        self._session = session
        self._sizes = sizes
        self._moment = now()
        self._rows: dict[int, FileRow] = {}
        self._entries: list[dict[str, Any]] = []
        self._new: list[tuple[FileRow, StoredFile, dict[str, Any]]] = []

    def run(self, changes: Sequence[Change]) -> Applied:
        done = self._already_applied(changes)
        self._lock_rows(changes, done)
        outcomes = [self._outcome(change, done) for change in changes]
        self._insert_new()
        events = journal.append(self._session, self._entries)
        return Applied(outcomes, events)

    def _already_applied(self, changes: Sequence[Change]) -> dict[str, int]:
        keys = [change["change_key"] for change in changes if isinstance(change.get("change_key"), str)]
        if not keys:
            return {}
        query = select(FileEventRow.change_key, FileEventRow.file_id).where(FileEventRow.change_key.in_(keys))
        return {key: file_id for key, file_id in self._session.execute(query) if key is not None}

    def _lock_rows(self, changes: Sequence[Change], done: dict[str, int]) -> None:
        """Lock all rows in the order of their ids, so that two batches never wait for each other in a circle."""
        wanted = {change.get("file_id") for change in changes} | set(done.values())
        ids = sorted(i for i in wanted if isinstance(i, int) and not isinstance(i, bool) and 0 < i < 2**31)
        if ids:
            query = select(FileRow).where(FileRow.id.in_(ids)).order_by(FileRow.id).with_for_update()
            self._rows = {row.id: row for row in self._session.scalars(query)}

    def _outcome(self, change: Change, done: dict[str, int]) -> Outcome:
        earlier = done.get(change.get("change_key", ""))
        if earlier is not None:
            return {"ok": True, "file": as_file(self._rows[earlier])}
        try:
            return {"ok": True, "file": self._apply(checked_change(change))}
        except DocsaveError as exc:
            return _refusal(exc)

    def _apply(self, change: Change) -> StoredFile:
        if change["op"] == "create":
            return self._create(change)
        row = self._visible_row(change)
        if change["op"] == "delete":
            row.deleted_at = self._moment
            return self._record(self._next_version(row), FILE_DELETE, change)
        if not self._update(row, change):
            return as_file(row)
        return self._record(self._next_version(row), FILE_UPDATE, change)

    def _create(self, change: Change) -> StoredFile:
        row = FileRow(
            user_id=change["user_id"],
            name=change["name"],
            name_key=name_key(change["name"]),
            path=change["path"],
            size=self._size(change["path"]),
            sha256=sha256_of_key(change["path"]),
            media_type=change.get("media_type") or DEFAULT_MEDIA_TYPE,
            version=1,
            protected_version=0,
            created_at=self._moment,
            updated_at=self._moment,
            deleted_at=None,
        )
        file = self._record(row, FILE_CREATE, change)
        self._new.append((row, file, self._entries[-1]))
        return file

    def _insert_new(self) -> None:
        """Insert all new files in one statement; only then have their outcomes and entries an id."""
        self._session.add_all([row for row, _, _ in self._new])
        self._session.flush()
        for row, file, entry in self._new:
            file["id"] = entry["file_id"] = row.id

    def _update(self, row: FileRow, change: Change) -> bool:
        """Set what differs; False when nothing does, for the same bytes under the same name are no new version."""
        renamed = "name" in change and change["name"] != row.name
        rewritten = "path" in change and change["path"] != row.path
        if renamed:
            row.name, row.name_key = change["name"], name_key(change["name"])
        if rewritten:
            row.size, row.sha256 = self._size(change["path"]), sha256_of_key(change["path"])
            row.path = change["path"]
            row.media_type = change.get("media_type") or row.media_type
        return renamed or rewritten

    def _visible_row(self, change: Change) -> FileRow:
        row = self._rows.get(change["file_id"])
        owner = change.get("owner")
        if row is None or row.deleted_at is not None or (owner is not None and row.user_id != owner):
            raise NotFound
        return row

    def _next_version(self, row: FileRow) -> FileRow:
        row.version += 1
        row.updated_at = self._moment
        return row

    def _record(self, row: FileRow, event_type: str, change: Change) -> StoredFile:
        self._entries.append(as_journal_entry(row, event_type, change["by"], change.get("change_key")))
        if event_type == FILE_DELETE:
            actor = Actor(change["by"], change.get("address"), change.get("session_id"), change.get("key_id"))
            audit.record(self._session, "file_deleted", row.user_id, actor, file=row.id, version=row.version)
        return as_file(row)

    def _size(self, key: str) -> int:
        sha256_of_key(key)
        if key not in self._sizes:
            raise BlobMissing
        return self._sizes[key]


def _blob_sizes(store: BlobStore, keys: Sequence[object]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for key in keys:
        if isinstance(key, str):
            try:
                sizes[key] = store.size_of(key)
            except BlobMissing:
                continue  # the change that names it is refused
    return sizes


def _refusal(error: DocsaveError) -> Outcome:
    return {"ok": False, "code": error.code, "detail": error.detail, "errors": error.errors}
