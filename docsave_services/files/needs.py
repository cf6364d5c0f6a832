"""Which blobs are still needed: those that a file names, and those that the backup has yet to copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from docsave_services.db import journal
from docsave_services.db.models import FileEventRow, FileRow
from docsave_services.domain.cursor import Cursor
from docsave_services.files.protection import copied_through

BACKUP_UNKNOWN = "backup_unknown"
OTHER_JOURNAL = "other_journal"


@dataclass(frozen=True, slots=True)
class Needs:
    """Of the blobs that were asked about: the keys that a file names, those that only the backup still waits for, and
    those that nobody needs."""

    named: frozenset[str]
    awaited: frozenset[str]
    free: frozenset[str]


@dataclass(frozen=True, slots=True)
class Footing:
    """Whether sweeping rests on firm ground: where the journal is, and what speaks against it (None: nothing)."""

    head: Cursor
    reason: str | None


def needs(session: Session, keys: Sequence[str]) -> Needs:
    """What the database says about these blobs. One that no entry of the journal names (its request was refused or
    its outcome is unknown) was never saved and needs no backup.

    In this order each statement may see what was committed since the one before: a new entry is beyond the place that
    was read first, a file that the journal's answer lacked is found last.
    """
    wanted = frozenset(keys)
    place = copied_through(session)
    newest = select(FileEventRow.path, func.max(FileEventRow.event_id)).where(FileEventRow.path.in_(wanted))
    entries = session.execute(newest.group_by(FileEventRow.path)).all()
    named = frozenset(session.scalars(select(FileRow.path).where(FileRow.path.in_(wanted))))
    if place is None:
        return Needs(named, wanted - named, frozenset())
    awaited = frozenset(path for path, event_id in entries if event_id > place) - named
    return Needs(named, awaited, wanted - named - awaited)


def footing(session: Session, mark: str | None) -> Footing:
    """Nothing may be swept before the backup has spoken about this journal, nor when the store has seen another one,
    or this one further on, at ``mark``: then the database is new or an old copy, and "no file names it" says nothing.
    """
    head = journal.head(session)
    if mark is not None and not _is_behind(mark, head):
        return Footing(head, OTHER_JOURNAL)
    return Footing(head, BACKUP_UNKNOWN if copied_through(session) is None else None)


def _is_behind(mark: str, head: Cursor) -> bool:
    try:
        seen = Cursor.parse(mark)
    except ValueError:
        return False
    return seen.epoch == head.epoch and seen.event_id <= head.event_id
