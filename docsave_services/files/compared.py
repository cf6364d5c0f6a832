"""Files then and now, side by side: what a restoration as of a moment decides by."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from docsave_services.contracts import Compared, ComparedPage, StoredFile
from docsave_services.db import journal
from docsave_services.db.models import FileEventRow, FileRow
from docsave_services.db.transactions import Transactions
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.ids import id_problem
from docsave_services.errors import InvalidInput
from docsave_services.files.past import as_past_files, in_folder, newest_entries
from docsave_services.files.places import PageQuery, page_end, page_start
from docsave_services.files.rows import as_file

SUCCESSORS_MAX = 5
"""A file that was removed, restored as a new one, removed, and so on: looked up so many times."""

_NAMESPACE = uuid.UUID("6c4ff0c2-5f0f-4a39-9d0b-0f2b1b6b8f0e")
_NAME_BASED = "5"
"""The version digit of a UUID made from a name (RFC 9562): no other change comes with such a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareQuery(PageQuery):
    """``file_id`` is one file; ``folder`` is with all below it. ``limit`` counts files that are looked at: those that
    have nothing to compare are left out."""

    file_id: int | None = None


def compare(transactions: Transactions, query: CompareQuery) -> ComparedPage:
    """One page of files then and now, in the order of their ids."""
    problem = None if query.file_id is None else id_problem(query.file_id)
    if problem:
        raise InvalidInput.for_field("file_id", problem)
    place, after = page_start(transactions, query)
    return transactions.read(lambda s: _page(s, query, place, after))


def _page(session: Session, query: CompareQuery, place: Cursor, after: int) -> ComparedPage:
    file_ids = _file_ids(session, query, after)
    page = file_ids[: query.limit]
    items = _compared(session, page, place)
    if query.folder is not None:
        folder = query.folder
        items = [
            i for i in items if in_folder(i["then"], folder) or (i["then"] is None and in_folder(i["now"], folder))
        ]
    more = len(file_ids) > query.limit
    return {
        "items": items,
        "next": page_end(query, place, page[-1]) if more else None,
        "at": str(place),
    }


def _file_ids(session: Session, query: CompareQuery, after: int) -> Sequence[int]:
    """Ids of files that have ever been, one more than fit on the page."""
    statement = select(FileEventRow.file_id).where(FileEventRow.file_id > after)
    if query.user_id is not None:
        statement = statement.where(FileEventRow.user_id == query.user_id)
        statement = statement.with_hint(FileEventRow, "FORCE INDEX (ix_file_event_user_file)", "mysql")
    if query.file_id is not None:
        statement = statement.where(FileEventRow.file_id == query.file_id)
    return session.scalars(statement.distinct().order_by(FileEventRow.file_id).limit(query.limit + 1)).all()


def _compared(session: Session, file_ids: Sequence[int], place: Cursor) -> list[Compared]:
    entries = newest_entries(session, file_ids, place.event_id)
    were = [entry for entry in entries.values() if not entry.permanent]
    then = {file["id"]: file for file in as_past_files(session, were)}
    now = {row.id: as_file(row) for row in session.scalars(select(FileRow).where(FileRow.id.in_(file_ids)))}
    gone = [file_id for file_id, file in then.items() if file_id not in now and file["deleted_at"] is None]
    heirs = _successors(session, place.epoch, gone)
    restored = _made_by_restoring(session, [i for i in file_ids if i not in entries])
    items: list[Compared] = []
    for file_id in file_ids:
        heir, key = heirs.get(file_id, (None, None))
        present = now.get(file_id) or heir
        if file_id in then or (file_id not in entries and present):
            items.append(
                {
                    "id": file_id,
                    "then": then.get(file_id),
                    "now": present,
                    "recreation_key": key,
                    "made_by_restoring": file_id in restored,
                }
            )
    return items


def recreation_key(epoch: str, file_id: int) -> str:
    """The ``change_key`` under which a file that was removed for good is made anew: so it happens once."""
    return uuid.uuid5(_NAMESPACE, f"{epoch}:{file_id}").hex


def _successors(session: Session, epoch: str, gone: Sequence[int]) -> dict[int, tuple[StoredFile | None, str]]:
    """For each removed file the one that was made anew in its place, if it is still there, and the key under which
    the next one is to be made."""
    found: dict[int, tuple[StoredFile | None, str]] = {i: (None, recreation_key(epoch, i)) for i in gone}
    for _ in range(SUCCESSORS_MAX):
        open_keys = {key: file_id for file_id, (heir, key) in found.items() if heir is None}
        events = journal.by_change_keys(session, list(open_keys)) if open_keys else {}
        if not events:
            break
        ids = [event["id"] for event in events.values()]
        rows = {row.id: row for row in session.scalars(select(FileRow).where(FileRow.id.in_(ids)))}
        for key, event in events.items():
            row = rows.get(event["id"])
            found[open_keys[key]] = (as_file(row) if row else None, recreation_key(epoch, event["id"]))
    return found


def _made_by_restoring(session: Session, file_ids: Sequence[int]) -> set[int]:
    """Which of these files a restoration made anew."""
    first = select(FileEventRow.file_id, FileEventRow.change_key).where(
        FileEventRow.file_id.in_(file_ids), FileEventRow.version == 1
    )
    return {file_id for file_id, key in session.execute(first) if key and key[12] == _NAME_BASED}
