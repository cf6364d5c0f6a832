"""Rows of ``webhook`` and ``delivery`` as what callers see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from docsave_services.contracts import Delivery, Webhook
from docsave_services.db.models import FileEventRow
from docsave_services.db.webhook_models import DeliveryRow, WebhookRow
from docsave_services.domain.cursor import Cursor
from docsave_services.times import to_text


def as_webhooks(session: Session, rows: Sequence[WebhookRow], head: Cursor, moment: datetime) -> list[Webhook]:
    """The endpoints, without their secrets. ``head`` is the newest place in the journal."""
    waiting = {_place(row, head) + 1 for row in rows}
    query = select(FileEventRow.event_id, FileEventRow.at).where(FileEventRow.event_id.in_(waiting))
    waiting_since = dict(session.execute(query).tuples().all())
    return [_as_webhook(row, head, moment, waiting_since.get(_place(row, head) + 1, moment)) for row in rows]


def as_webhook(session: Session, row: WebhookRow, head: Cursor, moment: datetime) -> Webhook:
    """One endpoint."""
    return as_webhooks(session, [row], head, moment)[0]


def _place(row: WebhookRow, head: Cursor) -> int:
    """After which change it goes on; of another journal it has nothing."""
    return row.event_id if row.epoch == head.epoch else 0


def _as_webhook(row: WebhookRow, head: Cursor, moment: datetime, waiting_since: datetime) -> Webhook:
    lag = max(head.event_id - _place(row, head), 0)
    replacing = row.old_secret_until is not None and row.old_secret_until > moment
    values = {
        "id": row.id,
        "user_id": row.user_id,
        "key_id": row.key_id,
        "url": row.url,
        "description": row.description,
        "events": json.loads(row.events),
        "folder": row.folder,
        "labels": json.loads(row.labels),
        "system": row.system,
        "all_users": row.all_users,
        "state": row.state,
        "reason": row.reason,
        "cursor": str(cursor_of(row)),
        "lag": lag,
        "lag_seconds": max((moment - waiting_since).total_seconds(), 0.0) if lag else 0.0,
        "tries": row.tries,
        "failing_since": _text(row.failing_since),
        "retry_at": _text(row.retry_at),
        "last_at": _text(row.last_at),
        "last_code": row.last_code,
        "last_error": row.last_error,
        "failed_at": _text(row.failed_at),
        "failed_code": row.failed_code,
        "failed_error": row.failed_error,
        "old_secret_until": _text(row.old_secret_until) if replacing else None,
        "created_at": to_text(row.created_at),
        "updated_at": to_text(row.updated_at),
    }
    return cast(Webhook, values)


def as_delivery(row: DeliveryRow) -> Delivery:
    """One delivery."""
    values = {
        "id": row.id,
        "message_id": row.message_id,
        "kind": row.kind,
        "event_id": row.event_id,
        "type": row.type,
        "cursor": str(Cursor(row.epoch, row.event_id)) if row.epoch and row.event_id is not None else None,
        "state": row.state,
        "tries": row.tries,
        "code": row.code,
        "answer": row.answer,
        "error": row.error,
        "milliseconds": row.milliseconds,
        "created_at": to_text(row.created_at),
        "updated_at": to_text(row.updated_at),
    }
    return cast(Delivery, values)


def cursor_of(row: WebhookRow) -> Cursor:
    """The endpoint's place in the journal."""
    return Cursor(row.epoch, row.event_id)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else to_text(moment)
