"""Rows of ``file`` as what callers see, and as entries of the journal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Table

from docsave_services.contracts import BackupState, FileEvent, StoredFile
from docsave_services.db.models import NAME_KEY_CHARACTERS, FileRow
from docsave_services.times import to_text


@dataclass(slots=True)
class NewFile:
    """A row of ``file`` before it is inserted. Far cheaper than a ``FileRow`` for what is only written."""

    user_id: int
    name: str
    path: str
    size: int
    sha256: str
    media_type: str
    created_at: datetime
    folder: str
    labels: str | None
    id: int = 0

    name_key: str = ""
    updated_at: datetime = datetime.min
    version: int = 1
    protected_version: int = 0
    deleted_at: datetime | None = None
    trashed: bool = False

    def __post_init__(self) -> None:
        self.name_key = name_key(self.name)
        self.updated_at = self.created_at

    @property
    def values(self) -> dict[str, Any]:
        """The columns, without the id that the database gives."""
        return {column: getattr(self, column) for column in _INSERTED}


_INSERTED = tuple(field.name for field in fields(NewFile) if field.name != "id")


def name_key(name: str) -> str:
    """The form of a name in which search and order ignore case and accents."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return unicodedata.normalize("NFKC", plain).casefold()[:NAME_KEY_CHARACTERS]


def labels_text(labels: Mapping[str, str]) -> str | None:
    """Labels as they are kept: one text for equal ones, None for none."""
    return json.dumps(labels, ensure_ascii=False, sort_keys=True) if labels else None


FILES = cast(Table, FileRow.__table__)
FILE_COLUMNS = tuple(FILES.columns)
"""What ``as_file`` needs, for ``select``: a row of columns costs a third of a ``FileRow`` that nobody changes. A page
of a list has rows that cost less (``list_rows``)."""

FoundFile = Row[Any]
"""One that was selected by ``FILE_COLUMNS``."""


def as_file(row: FileRow | NewFile | FoundFile) -> StoredFile:
    """The file with its blob's key."""
    backup: BackupState = {
        "state": "protected" if row.protected_version >= row.version else "pending",
        "version": row.protected_version,
    }
    return {
        "id": row.id,
        "user_id": row.user_id or 0,
        "name": row.name,
        "size": row.size,
        "media_type": row.media_type,
        "sha256": row.sha256,
        "version": row.version,
        "created_at": to_text(row.created_at),
        "updated_at": to_text(row.updated_at),
        "deleted_at": None if row.deleted_at is None else to_text(row.deleted_at),
        "folder": row.folder,
        "labels": json.loads(row.labels) if row.labels else {},
        "backup": backup,
        "path": row.path,
    }


def file_at(event: FileEvent) -> StoredFile:
    """The file as it was after a change: all that is left to tell of one that was removed for good since."""
    return {
        "id": event["id"],
        "user_id": event["user_id"],
        "name": event["name"],
        "size": event["size"],
        "media_type": event["media_type"],
        "sha256": event["sha256"],
        "version": event["version"],
        "created_at": event["at"],
        "updated_at": event["at"],
        "deleted_at": event["at"] if event["permanent"] else None,
        "folder": event["folder"],
        "labels": event["labels"],
        "backup": {"state": "pending", "version": 0},
        "path": event["path"],
    }


def as_journal_entry(
    row: FileRow | NewFile, event_type: str, by: int | None, change_key: str | None, permanent: bool = False
) -> dict[str, Any]:
    """The journal's columns for the change that led to the row's present version."""
    return {
        "type": event_type,
        "file_id": row.id,
        "user_id": row.user_id,
        "name": row.name,
        "path": row.path,
        "size": row.size,
        "media_type": row.media_type,
        "sha256": row.sha256,
        "version": row.version,
        "at": row.updated_at,
        "by": by,
        "folder": row.folder,
        "labels": row.labels,
        "permanent": permanent,
        "change_key": change_key,
    }
