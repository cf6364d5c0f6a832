"""The folders that a user's files are in: a folder exists while something is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import false, func, select
from sqlalchemy.orm import Session

from docsave_services.contracts import FolderPage
from docsave_services.db.models import FileRow
from docsave_services.domain.folders import ROOT, folder_problem
from docsave_services.domain.ids import id_problem
from docsave_services.errors import InvalidInput
from docsave_services.files import list_cursor
from docsave_services.files.filters import in_folder

FOLDERS_MAX = 1000

_CURSOR = "folders"


@dataclass(frozen=True, slots=True)
class FolderQuery:
    """Whose folders; ``under`` is the one to look into, itself included: the root means all."""

    user_id: int
    under: str = ROOT
    after: str | None = None
    limit: int = FOLDERS_MAX


def list_folders(session: Session, query: FolderQuery) -> FolderPage:
    """One page of the folders with files that are not in the trash, by name, each with how many lie in it directly."""
    _check(query)
    statement = (
        select(FileRow.folder, func.count())
        .where(FileRow.user_id == query.user_id, FileRow.trashed == false())
        .group_by(FileRow.folder)
        .order_by(FileRow.folder)
        .limit(query.limit + 1)
    )
    if query.under != ROOT:
        statement = statement.where(*in_folder(FileRow.folder, query.under, recursive=True))
    if query.after is not None:
        statement = statement.where(FileRow.folder > list_cursor.decode(query.after, _CURSOR, str)[0])
    rows = session.execute(statement).all()
    more = len(rows) > query.limit
    return {
        "items": [{"folder": folder, "files": files} for folder, files in rows[: query.limit]],
        "next": list_cursor.encode(_CURSOR, rows[query.limit - 1][0], 0) if more else None,
    }


def _check(query: FolderQuery) -> None:
    problem = id_problem(query.user_id)
    if problem:
        raise InvalidInput.for_field("user_id", problem)
    if type(query.limit) is not int or not 1 <= query.limit <= FOLDERS_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {FOLDERS_MAX}")
    under: Any = query.under
    problem = folder_problem(under) if isinstance(under, str) else "must be text"
    if problem:
        raise InvalidInput.for_field("under", problem)
