"""Requests and messages that come twice: found in the transaction that would apply them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.orm import Session

from docsave_services.contracts import Change, FileEvent, Outcome
from docsave_services.db import journal
from docsave_services.db.file_models import IdempotencyKeyRow
from docsave_services.errors import IdempotencyKeyReused

KEPT = timedelta(hours=24)
"""So long an ``Idempotency-Key`` stands for the request that first came with it."""

DELETED_AT_ONCE = 1000


def already_applied(session: Session, changes: Sequence[Change]) -> dict[str, FileEvent]:
    """The journal's entries of those ``changes`` that were applied before, by their ``change_key``."""
    keys = [change["change_key"] for change in changes if "change_key" in change]
    return journal.by_change_keys(session, keys) if keys else {}


class EarlierRequests:
    """What was answered to requests that came with an ``Idempotency-Key`` before: in the last 24 hours, or in this
    very batch. A key is the acting user's own."""

    def __init__(self, session: Session, moment: datetime, changes: Sequence[Change]) -> None:
        self._session = session
        self._moment = moment
        self._known: dict[tuple[int, str], tuple[str, Outcome]] = {}
        self._new: list[tuple[int, str]] = []
        wanted = {key for change in changes if (key := _key_of(change))}
        for row in self._rows(wanted):
            self._known[row.user_id, row.key] = (row.fingerprint, json.loads(row.result))

    def answer_to(self, change: Change) -> Outcome | None:
        """The first answer to this request; None when it is new. ``IdempotencyKeyReused`` if that was another one."""
        key = _key_of(change)
        if key is None or key not in self._known:
            return None
        fingerprint, outcome = self._known[key]
        asked = change["idempotency"]
        if asked is None or fingerprint != asked["fingerprint"]:
            raise IdempotencyKeyReused
        return {**outcome, "replayed": True}

    def remember(self, change: Change, outcome: Outcome) -> None:
        """This is the answer from now on; its file may still get its id until ``write``."""
        key, asked = _key_of(change), change.get("idempotency")
        if key is not None and asked:
            self._known[key] = (asked["fingerprint"], outcome)
            self._new.append(key)

    def write(self) -> None:
        """Add what was remembered to the session."""
        for user_id, key in self._new:
            fingerprint, outcome = self._known[user_id, key]
            row = IdempotencyKeyRow(user_id=user_id, key=key, fingerprint=fingerprint, created_at=self._moment)
            row.result = json.dumps(outcome, ensure_ascii=False)
            self._session.add(row)

    def _rows(self, wanted: set[tuple[int, str]]) -> list[IdempotencyKeyRow]:
        """The rows of these keys that still count; the others make room."""
        if not wanted:
            return []
        same = tuple_(IdempotencyKeyRow.user_id, IdempotencyKeyRow.key).in_(sorted(wanted))
        rows = self._session.scalars(select(IdempotencyKeyRow).where(same)).all()
        for row in rows:
            if row.created_at <= self._moment - KEPT:
                self._session.delete(row)
        self._session.flush()
        return [row for row in rows if row.created_at > self._moment - KEPT]


def count_old_requests(session: Session, moment: datetime) -> int:
    """How many keys no longer count."""
    query = select(func.count()).select_from(IdempotencyKeyRow).where(IdempotencyKeyRow.created_at <= moment - KEPT)
    return session.scalars(query).one()


def forget_old_requests(session: Session, moment: datetime) -> int:
    """Delete some of the keys that no longer count; how many. Called until it returns 0."""
    old = (
        select(IdempotencyKeyRow.user_id, IdempotencyKeyRow.key)
        .where(IdempotencyKeyRow.created_at <= moment - KEPT)
        .limit(DELETED_AT_ONCE)
    )
    keys = session.execute(old).all()
    if keys:
        same = tuple_(IdempotencyKeyRow.user_id, IdempotencyKeyRow.key).in_([(user, key) for user, key in keys])
        session.execute(delete(IdempotencyKeyRow).where(same).execution_options(synchronize_session=False))
    return len(keys)


def _key_of(change: Change) -> tuple[int, str] | None:
    asked = change.get("idempotency")
    return (change["by"], asked["key"]) if asked and change["by"] is not None else None
