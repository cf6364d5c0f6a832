"""Remembering which version of a file the backup holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.orm import Session

from docsave_services.db.models import FileRow
from docsave_services.errors import InvalidInput

PROTECTED_MAX = 1000


def mark_protected(session: Session, items: Sequence[Any]) -> int:
    """Raise ``protected_version`` of each file to the version in its item; a lower one changes nothing.

    ``items`` are ``{"file_id", "version"}``. Returns how many files it was news for.
    """
    if not isinstance(items, list) or len(items) > PROTECTED_MAX:
        raise InvalidInput.for_field("items", f"must be a list of at most {PROTECTED_MAX}")
    newest: dict[int, int] = {}
    for item in items:
        file_id, version = _pair(item)
        newest[file_id] = max(version, newest.get(file_id, 0))
    changed = 0
    statement = (
        update(FileRow)
        .where(FileRow.id == bindparam("file"), FileRow.protected_version < bindparam("reached"))
        .values(protected_version=bindparam("reached"))
        .execution_options(synchronize_session=False)
    )
    for file_id in sorted(newest):  # in the order of ids, as every writer of several files locks them
        result = session.connection().execute(statement, {"file": file_id, "reached": newest[file_id]})
        changed += result.rowcount
    return changed


def _pair(item: Any) -> tuple[int, int]:
    if isinstance(item, dict):
        file_id, version = item.get("file_id"), item.get("version")
        if type(file_id) is int and type(version) is int and 0 < file_id < 2**31 and 0 < version < 2**31:
            return file_id, version
    raise InvalidInput.for_field("items", "each must have a file_id and a version")
