"""Rows of ``file`` as what callers see, and as entries of the journal."""

from __future__ import annotations

import unicodedata
from typing import Any

from docsave_services.contracts import BackupState, StoredFile
from docsave_services.db.models import NAME_KEY_CHARACTERS, FileRow
from docsave_services.times import to_text


def name_key(name: str) -> str:
    """The form of a name in which search and order ignore case."""
    return unicodedata.normalize("NFC", name).casefold()[:NAME_KEY_CHARACTERS]


def as_file(row: FileRow) -> StoredFile:
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
        "backup": backup,
        "path": row.path,
    }


def as_journal_entry(row: FileRow, event_type: str, by: int | None, change_key: str | None) -> dict[str, Any]:
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
        "change_key": change_key,
    }
