"""Files that have been in the trash for too long go for good. The backup keeps their copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, not_, select, true
from sqlalchemy.orm import Session

from docsave_services.contracts import Change, FileEvent
from docsave_services.db.models import FileRow
from docsave_services.db.transactions import Transactions
from docsave_services.files.changes import apply_changes
from docsave_services.files.holds import is_held
from docsave_services.storage import BlobStore

REMOVED_AT_ONCE = 200
"""Files in one transaction."""

BATCHES_MAX = 5
"""Transactions in one call; the next call goes on."""


def empty_trash(
    transactions: Transactions, store: BlobStore, before: datetime, hand_over: Callable[[Sequence[FileEvent]], None]
) -> int:
    """Remove files that were put into the trash before that moment, oldest first; how many. Their events are handed
    over. One that somebody restores meanwhile stays: the removal is for the version that was seen. One on hold waits
    for the end of the hold."""
    removed = 0
    for _ in range(BATCHES_MAX):
        due = transactions.read(lambda s: _overdue(s, before))
        if not due:
            break
        applied = apply_changes(transactions, store, due)
        hand_over(applied.events)
        removed += len(applied.events)
    return removed


def count_overdue(session: Session, before: datetime) -> int:
    """How many files were put into the trash before that moment."""
    return session.scalars(select(func.count()).select_from(FileRow).where(_is_overdue(before))).one()


def _overdue(session: Session, before: datetime) -> list[Change]:
    query = select(FileRow.id, FileRow.version).where(_is_overdue(before)).order_by(FileRow.deleted_at)
    return [
        {"op": "remove", "by": None, "file_id": file_id, "if_match": [f"v{version}"]}
        for file_id, version in session.execute(query.limit(REMOVED_AT_ONCE))
    ]


def trash_limit(days: int, moment: datetime) -> datetime | None:
    """What was put into the trash before this moment goes; None when the trash is never emptied."""
    return moment - timedelta(days=days) if days else None


def _is_overdue(before: datetime) -> ColumnElement[bool]:
    return and_(FileRow.trashed == true(), FileRow.deleted_at < before, not_(is_held()))
