"""The audit trail: written in the transaction of what it tells, never altered afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from docsave_services.contracts import AuditAction, AuditEntry, AuditPage
from docsave_services.db.account_models import ADDRESS_CHARACTERS, DETAIL_CHARACTERS, AuditRow
from docsave_services.domain.ids import id_problem
from docsave_services.errors import InvalidInput
from docsave_services.times import now, to_text

LIMIT_MAX = 1000

ACTIONS: tuple[str, ...] = get_args(AuditAction)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, from which address, with which session or key; all None for the operator on the machine."""

    by: int | None = None
    address: str | None = None
    session_id: str | None = None
    key_id: int | None = None

    def __post_init__(self) -> None:
        for name, kind in (("by", int), ("address", str), ("session_id", str), ("key_id", int)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise InvalidInput.for_field(name, "has the wrong type")


OPERATOR = Actor()


def record(session: Session, action: str, user_id: int | None, actor: Actor, **detail: Any) -> None:
    """Add a line about ``user_id``'s account or files. ``detail`` must hold no secret; what is too long is left out."""
    text = json.dumps(detail, ensure_ascii=True, sort_keys=True)
    session.add(
        AuditRow(
            at=now(),
            action=action,
            user_id=user_id,
            by=actor.by,
            address=actor.address[:ADDRESS_CHARACTERS] if actor.address else None,
            session_id=actor.session_id[:32] if actor.session_id else None,
            key_id=actor.key_id,
            detail=text if len(text) <= DETAIL_CHARACTERS else "{}",
        )
    )


def read(
    session: Session,
    limit: int,
    after: str | None,
    action: str | None = None,
    user_id: int | None = None,
    since: datetime | None = None,
) -> AuditPage:
    """Up to ``limit`` lines, newest first, from the cursor ``after``; lines written meanwhile shift nothing."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {LIMIT_MAX}")
    if action is not None and action not in ACTIONS:
        raise InvalidInput.for_field("action", f"must be one of {', '.join(ACTIONS)}")
    problem = id_problem(user_id) if user_id is not None else None
    if problem:
        raise InvalidInput.for_field("user_id", problem)
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(AuditRow.id < _place(after))
    if action is not None:
        query = query.where(AuditRow.action == action)
    if user_id is not None:
        query = query.where(AuditRow.user_id == user_id)
    if since is not None:
        query = query.where(AuditRow.at >= since)
    rows = session.scalars(query).all()
    more = len(rows) > limit
    return {"items": [_as_entry(row) for row in rows[:limit]], "next": str(rows[limit - 1].id) if more else None}


def _place(after: Any) -> int:
    if not isinstance(after, str) or not after.isascii() or not after.isdigit() or len(after) > 18:
        raise InvalidInput.for_field("after", "is not a cursor")
    return int(after)


def _as_entry(row: AuditRow) -> AuditEntry:
    return {
        "id": row.id,
        "at": to_text(row.at),
        "action": row.action,
        "user_id": row.user_id,
        "by": row.by,
        "address": row.address,
        "session_id": row.session_id,
        "key_id": row.key_id,
        "detail": json.loads(row.detail),
    }
