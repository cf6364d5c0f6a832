"""Places in the journal, and the pages of lists that are of one.

A place is a cursor, or a moment: then it is that of the last entry, in the order of the journal, whose time is not
after the moment. So every change that says it was made by then counts, whatever the clocks did before it or since,
and a later moment is never an earlier place.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import KW_ONLY, asdict, dataclass
from datetime import datetime

import eventlet
from sqlalchemy import select
from sqlalchemy.orm import Session

from docsave_services.db import journal
from docsave_services.db.models import FileEventRow
from docsave_services.db.transactions import Transactions
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.folders import folder_problem
from docsave_services.errors import CursorExpired, InvalidInput
from docsave_services.files import list_cursor
from docsave_services.files.lists import LIST_LIMIT_MAX, check_whose
from docsave_services.times import from_text, with_seconds

PLACE_SCAN = 20_000
"""Entries that one look for a moment's place passes: some ten milliseconds, during which SQLite stops the process."""


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What every list as of a place is asked for: ``at`` names the place, ``user_id`` None means everybody's files,
    ``folder`` None all of them, and ``after`` is the cursor of a page."""

    at: str
    user_id: int | None = None
    _: KW_ONLY
    folder: str | None = None
    after: str | None = None
    limit: int = 100


def page_start(transactions: Transactions, query: PageQuery) -> tuple[Cursor, int]:
    """The place that a page is of, and the id that it comes after: the first page fixes the place for the others.

    ``InvalidInput`` for what is no size of a page, no folder and no cursor of this list.
    """
    if type(query.limit) is not int or not 1 <= query.limit <= LIST_LIMIT_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {LIST_LIMIT_MAX}")
    check_whose(query.user_id)
    folder: object = query.folder
    if folder is not None:
        problem = folder_problem(folder) if isinstance(folder, str) else "must be text"
        if problem:
            raise InvalidInput.for_field("folder", problem)
    if query.after is None:
        return place_of(transactions, query.at), 0
    epoch = transactions.read(journal.head).epoch
    place, file_id = list_cursor.decode(query.after, _list_name(query, epoch), int)
    return Cursor(epoch, place), file_id


def page_end(query: PageQuery, place: Cursor, file_id: int) -> str:
    """The cursor of the page that comes after that file."""
    return list_cursor.encode(_list_name(query, place.epoch), place.event_id, file_id)


def _list_name(query: PageQuery, epoch: str) -> str:
    """The same for all pages of one list. Kinds of lists differ in the fields of their queries."""
    asked = {**asdict(query), "limit": None, "after": None, "epoch": epoch}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def place_of(transactions: Transactions, at: str) -> Cursor:
    """The place that a cursor or a moment (RFC 3339, also to the minute) names; 0 for a moment before the first entry.

    ``CursorExpired`` for a cursor of another journal or from the future, ``InvalidInput`` for another text.
    """
    newest = transactions.read(journal.head)
    try:
        given = Cursor.parse(at)
    except (ValueError, TypeError):
        return Cursor(newest.epoch, _place_of_moment(transactions, _moment_of(at), newest.event_id))
    if given.epoch != newest.epoch or given.event_id > newest.event_id:
        raise CursorExpired
    return given


def _moment_of(at: object) -> datetime:
    return from_text("at", with_seconds(at))


def _place_of_moment(transactions: Transactions, moment: datetime, newest: int) -> int:
    """Look from the end, a stretch at a time; a recent moment is found at once."""
    top = newest
    while top > 0:
        bottom = max(0, top - PLACE_SCAN)
        found = transactions.read(lambda s, low=bottom, high=top: _last_until(s, moment, low, high))  # type: ignore[misc]
        if found is not None:
            return int(found)
        top = bottom
        eventlet.sleep(0)
    return 0


def _last_until(session: Session, moment: datetime, bottom: int, top: int) -> int | None:
    entry = FileEventRow
    query = select(entry.event_id).where(entry.event_id > bottom, entry.event_id <= top, entry.at <= moment)
    return session.scalar(query.order_by(entry.event_id.desc()).limit(1))
