"""One batch of changes inside its transaction (ARCHITECTURE, section 1).

The order of locks is that of every writer: rows of files by id, usage of users by id, the journal's head last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, select
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
from docsave_services.db.file_models import FileLabelRow, FileRefRow
from docsave_services.db.models import FileRow
from docsave_services.errors import BlobMissing, DocsaveError, NotDeleted, NotFound, PreconditionFailed
from docsave_services.files.holds import refuse_held
from docsave_services.files.references import References
from docsave_services.files.repeats import EarlierRequests, already_applied
from docsave_services.files.rows import FILES, NewFile, as_file, as_journal_entry, file_at, labels_text, name_key
from docsave_services.files.usage import UsageLedger
from docsave_services.files.validation import checked_change
from docsave_services.storage import sha256_of_key
from docsave_services.times import now

_ADD = FILES.insert()
_ADD_RETURNING = _ADD.returning(FILES.c.id, sort_by_parameter_order=True)

DEFAULT_MEDIA_TYPE = "application/octet-stream"


@dataclass(slots=True)
class Applied:
    """What a batch did: an outcome for each change, in order, the events that were committed, and the keys of blobs
    that a file named before and does not name any more."""

    outcomes: list[Outcome]
    events: list[FileEvent] = field(default_factory=list)
    released: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _New:
    """A file that has no id yet, and what must learn it."""

    row: NewFile
    file: StoredFile
    entry: dict[str, Any]


class Batch:
    """Applies ``changes``; ``sizes`` are the bytes of the blobs they name, without those that are missing."""

    def __init__(self, session: Session, sizes: dict[str, int], changes: Sequence[Change]) -> None:
        self._session = session
        self._sizes = sizes
        self._moment = now()
        self._checked = [_checked(change) for change in changes]
        good = [change for change in self._checked if not isinstance(change, DocsaveError)]
        self._applied = already_applied(session, good)
        self._requests = EarlierRequests(session, self._moment, good)
        self._references = References(session, good)
        self._rows = self._locked_rows(good)
        self._usage = UsageLedger(session, self._owners(good))
        self._entries: list[dict[str, Any]] = []
        self._new: list[_New] = []
        self._relabelled: dict[int, FileRow | NewFile] = {}
        self._released: set[str] = set()

    def run(self) -> Applied:
        """Apply all that can be; one that is refused leaves the others alone."""
        outcomes = [self._outcome(change) for change in self._checked]
        self._insert_new()
        self._write_labels()
        self._references.write()
        self._requests.write()
        self._session.flush()
        self._usage.write()
        return Applied(outcomes, journal.append(self._session, self._entries), self._released)

    def _locked_rows(self, changes: Sequence[Change]) -> dict[int, FileRow]:
        """Lock all rows in the order of their ids, so that two batches never wait for each other in a circle."""
        ids = {change["file_id"] for change in changes if "file_id" in change}
        ids |= {event["id"] for event in self._applied.values()} | self._references.file_ids
        if not ids:
            return {}
        query = select(FileRow).where(FileRow.id.in_(sorted(ids))).order_by(FileRow.id).with_for_update()
        return {row.id: row for row in self._session.scalars(query)}

    def _owners(self, changes: Sequence[Change]) -> set[int]:
        owners = {change["user_id"] for change in changes if "user_id" in change}
        return owners | {row.user_id for row in self._rows.values() if row.user_id is not None}

    def _outcome(self, change: Change | DocsaveError) -> Outcome:
        if isinstance(change, DocsaveError):
            return refusal(change)
        try:
            return self._repeated(change) or self._apply(change)
        except DocsaveError as exc:
            return refusal(exc)

    def _repeated(self, change: Change) -> Outcome | None:
        event = self._applied.get(change.get("change_key", ""))
        if event is None:
            return self._requests.answer_to(change)
        row = self._rows.get(event["id"])
        return {
            "ok": True,
            "created": event["version"] == 1,
            "replayed": True,
            "file": as_file(row) if row else file_at(event),
        }

    def _apply(self, change: Change) -> Outcome:
        created = change["op"] == "create" or (change["op"] == "save" and self._saved_row(change) is None)
        outcome: Outcome = {"ok": True, "created": created, "file": _OPERATIONS[change["op"]](self, change)}
        self._requests.remember(change, outcome)
        return outcome

    def _create(self, change: Change) -> StoredFile:
        if "if_match" in change:
            raise PreconditionFailed  # there is nothing yet that could match
        size = self._size(change["path"])
        self._usage.change(change["user_id"], 1, size)
        row = NewFile(
            user_id=change["user_id"],
            name=change["name"],
            path=change["path"],
            size=size,
            sha256=sha256_of_key(change["path"]),
            media_type=change.get("media_type") or DEFAULT_MEDIA_TYPE,
            created_at=self._moment,
            folder=change.get("folder", ""),
            labels=labels_text(change.get("labels", {})),
        )
        self._entries.append(as_journal_entry(row, FILE_CREATE, change["by"], change.get("change_key")))
        file = as_file(row)
        self._new.append(_New(row, file, self._entries[-1]))
        return file

    def _save(self, change: Change) -> StoredFile:
        row = self._saved_row(change)
        reference = {change["ref"]["system"]: change["ref"]["key"]}
        if row is None:
            file = self._create({**change, "labels": {**reference, **change.get("labels", {})}})
            self._references.add(change, self._new[-1].row)
            return file
        # Whoever saves by a reference says the content; the name that people gave the file since is theirs.
        content: Change = {**change, "file_id": row.id}
        content.pop("name")
        if "labels" in change:
            content["labels"] = {**reference, **change["labels"]}
        return self._restore(content) if row.trashed else self._update(content)

    def _saved_row(self, change: Change) -> FileRow | None:
        fresh = self._references.new_row_of(change)
        if fresh is not None:
            self._insert_new()
            if fresh.id not in self._rows:
                self._rows[fresh.id] = self._session.get_one(FileRow, fresh.id)
            return self._rows[fresh.id]
        file_id = self._references.file_id_of(change)
        return None if file_id is None else self._rows.get(file_id)

    def _update(self, change: Change) -> StoredFile:
        row = self._row(change)
        if row.trashed:
            raise NotFound
        if not self._set(row, change):
            return as_file(row)  # the same bytes under the same name are no new version
        return self._record(row, FILE_UPDATE, change)

    def _restore(self, change: Change) -> StoredFile:
        row = self._row(change)
        if not row.trashed:
            raise NotDeleted
        self._set(row, change)
        row.deleted_at, row.trashed = None, False
        return self._record(row, FILE_CREATE, change, "file_restored")

    def _delete(self, change: Change) -> StoredFile:
        row = self._row(change)
        if row.trashed:
            raise NotFound
        row.deleted_at, row.trashed = self._moment, True
        return self._record(row, FILE_DELETE, change, "file_deleted")

    def _remove(self, change: Change) -> StoredFile:
        row = self._row(change)
        refuse_held(self._session, row.id)
        row.deleted_at = row.deleted_at or self._moment
        file = self._record(row, FILE_DELETE, change, "file_removed", permanent=True)
        self._usage.change(row.user_id, -1, -row.size)
        self._released.add(row.path)
        for table in (FileLabelRow, FileRefRow):
            self._session.execute(delete(table).where(table.file_id == row.id))
        self._relabelled.pop(row.id, None)
        self._session.delete(row)
        del self._rows[row.id]
        return file

    def _row(self, change: Change) -> FileRow:
        row = self._rows.get(change["file_id"])
        owner = change.get("owner")
        if row is None or (owner is not None and row.user_id != owner):
            raise NotFound
        tags = change.get("if_match")
        if tags is not None and not {"*", row.sha256, f"v{row.version}"}.intersection(tags):
            raise PreconditionFailed
        return row

    def _set(self, row: FileRow, change: Change) -> bool:
        """Set what differs; False when nothing does."""
        rewritten = "path" in change and change["path"] != row.path
        if rewritten:
            size = self._size(change["path"])
            self._usage.change(row.user_id, 0, size - row.size)
            self._released.add(row.path)
            row.size, row.sha256, row.path = size, sha256_of_key(change["path"]), change["path"]
            row.media_type = change.get("media_type") or row.media_type
        renamed = "name" in change and change["name"] != row.name
        if renamed:
            row.name, row.name_key = change["name"], name_key(change["name"])
        moved = "folder" in change and change["folder"] != row.folder
        if moved:
            row.folder = change["folder"]
        labels = labels_text(change["labels"]) if "labels" in change else row.labels
        relabelled = labels != row.labels
        if relabelled:
            row.labels = labels
            self._relabelled[row.id] = row
        return rewritten or renamed or moved or relabelled

    def _record(
        self, row: FileRow, event_type: str, change: Change, action: str | None = None, permanent: bool = False
    ) -> StoredFile:
        """Give the row its next version, with an entry in the journal and, for an ``action``, in the audit trail."""
        row.version += 1
        row.updated_at = self._moment
        self._entries.append(as_journal_entry(row, event_type, change["by"], change.get("change_key"), permanent))
        if action is not None:
            actor = Actor(change["by"], change.get("address"), change.get("session_id"), change.get("key_id"))
            audit.record(self._session, action, row.user_id, actor, file=row.id, version=row.version)
        return as_file(row)

    def _insert_new(self) -> None:
        """Insert all new files at once; only then have their outcomes and entries an id."""
        if not self._new:
            return
        ids = _insert(self._session.connection(), [new.row.values for new in self._new])
        for new, file_id in zip(self._new, ids, strict=True):
            new.row.id = new.file["id"] = new.entry["file_id"] = file_id
            if new.row.labels:
                self._relabelled[file_id] = new.row
        self._new.clear()

    def _write_labels(self) -> None:
        if not self._relabelled:
            return
        self._session.execute(delete(FileLabelRow).where(FileLabelRow.file_id.in_(sorted(self._relabelled))))
        for row in self._relabelled.values():
            for label, value in as_file(row)["labels"].items():
                self._session.add(FileLabelRow(file_id=row.id, user_id=row.user_id, label=label, value=value))

    def _size(self, key: str) -> int:
        sha256_of_key(key)
        if key not in self._sizes:
            raise BlobMissing
        return self._sizes[key]


_OPERATIONS = {
    "create": Batch._create,
    "save": Batch._save,
    "update": Batch._update,
    "delete": Batch._delete,
    "restore": Batch._restore,
    "remove": Batch._remove,
}


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> Sequence[int]:
    """Insert ``rows`` into ``file``; their ids, in order. MySQL, unlike MariaDB and SQLite, tells only of one at a
    time."""
    if not connection.dialect.insert_executemany_returning:
        return [connection.execute(_ADD, row).lastrowid for row in rows]
    return connection.scalars(_ADD_RETURNING, rows).all()


def refusal(error: DocsaveError) -> Outcome:
    """The outcome that says why a change was not applied."""
    return {"ok": False, "code": error.code, "detail": error.detail, "errors": error.errors}


def _checked(change: Change) -> Change | DocsaveError:
    try:
        return checked_change(change)
    except DocsaveError as exc:
        return exc
