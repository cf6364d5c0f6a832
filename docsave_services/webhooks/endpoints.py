"""The use cases around endpoints: made, listed, changed, paused and resumed, given a new secret, deleted, disabled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from docsave_services.contracts import FILE_EVENT_TYPES, NewSecret, NewWebhook, Webhook, WebhookNews, WebhookPage
from docsave_services.db import audit
from docsave_services.db.audit import OPERATOR, Actor
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.db.webhook_models import DeliveryRow, WebhookRow
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.ids import is_id
from docsave_services.domain.webhook_signature import new_secret, shown
from docsave_services.domain.webhook_targets import target_of
from docsave_services.errors import Forbidden, InvalidInput, NotFound, TooManyWebhooks
from docsave_services.times import now, to_text
from docsave_services.tokens import KeyRing
from docsave_services.webhooks.limits import OLD_SECRET_SECONDS, WEBHOOKS_MAX
from docsave_services.webhooks.rows import as_webhook, as_webhooks, cursor_of
from docsave_services.webhooks.sealed import seal
from docsave_services.webhooks.validation import checked_fields, checked_id, page_place

_DEFAULTS: dict[str, Any] = {
    "description": "",
    "events": list(FILE_EVENT_TYPES),
    "folder": "",
    "labels": [],
    "system": None,
    "all_users": False,
    "state": "active",
}
_AS_JSON = ("events", "labels")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``owner`` restricts it to that user's endpoints; None is an administrator, or the operator.

    A key sees only what was made with it.
    """

    owner: int | None = None
    actor: Actor = OPERATOR


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator set: the keys that seal secrets, and whether private targets are allowed."""

    keys: KeyRing
    allow_private: bool


def create(
    transactions: Transactions, rules: Rules, user_id: int, given: Mapping[str, Any], start: Cursor, actor: Actor
) -> NewWebhook:
    """A new endpoint that hears of everything after ``start``; its ``secret`` is shown this once.

    ``InvalidInput`` names each wrong field; ``TooManyWebhooks``; ``Forbidden`` for ``all_users`` of who is no
    administrator.
    """
    fields = {**_DEFAULTS, **checked_fields(given, rules.allow_private)}
    if "url" not in fields:
        raise InvalidInput.for_field("url", "is required")
    secret = new_secret()

    def add(session: Session) -> NewWebhook:
        _check_owner(session, user_id, fields["all_users"])
        count = session.scalar(select(func.count()).where(WebhookRow.user_id == user_id)) or 0
        if count >= WEBHOOKS_MAX:
            raise TooManyWebhooks
        moment = now()
        row = WebhookRow(
            user_id=user_id,
            key_id=actor.key_id,
            reason=None,
            secret=seal(rules.keys, secret),
            epoch=start.epoch,
            event_id=start.event_id,
            moves=0,
            requests=False,
            tries=0,
            created_at=moment,
            updated_at=moment,
            **_columns(fields),
        )
        session.add(row)
        session.flush()
        _record(session, "webhook_created", row, actor)
        return {**as_webhook(session, row, start, moment), "secret": shown(secret)}

    return transactions.write(add)


def get(transactions: Transactions, caller: Caller, webhook_id: int, head: Cursor) -> Webhook:
    """One endpoint."""
    return transactions.read(lambda s: as_webhook(s, find(s, caller, webhook_id), head, now()))


def page(transactions: Transactions, caller: Caller, limit: int, after: str | None, head: Cursor) -> WebhookPage:
    """A page of the endpoints that the caller may see, oldest first."""
    query = _visible(caller).where(WebhookRow.id > page_place(limit, after)).order_by(WebhookRow.id).limit(limit + 1)

    def read(session: Session) -> WebhookPage:
        rows = session.scalars(query).all()
        items = as_webhooks(session, rows[:limit], head, now())
        return {"items": items, "next": str(rows[limit - 1].id) if len(rows) > limit else None}

    return transactions.read(read)


def update(
    transactions: Transactions,
    rules: Rules,
    caller: Caller,
    webhook_id: int,
    given: Mapping[str, Any],
    head: Callable[[], Cursor],
) -> Webhook:
    """Change what is given. Another URL, and being active again, mean to try at once.

    Who resumes an endpoint answers for it: it no longer depends on the key that it was made with. One whose journal
    is gone goes on from ``head``.
    """
    fields = checked_fields(given, rules.allow_private)
    newest = head()

    def change(session: Session) -> Webhook:
        row = find(session, caller, webhook_id, lock=True)
        resumed = fields.get("state") == "active" and row.state != "active"
        if resumed or fields.get("all_users"):
            _check_owner(session, row.user_id, fields.get("all_users", row.all_users))
        if resumed or fields.get("url", row.url) != row.url:
            _try_at_once(row)
        if resumed:
            row.reason, row.key_id = None, caller.actor.key_id
            if row.epoch != newest.epoch or row.event_id > newest.event_id:
                row.epoch, row.event_id = newest.epoch, newest.event_id
        if fields.get("state") == "paused":
            row.reason = None
        for column, value in _columns(fields).items():
            setattr(row, column, value)
        row.updated_at = now()
        _record(session, "webhook_updated", row, caller.actor, fields=sorted(fields))
        return as_webhook(session, row, newest, row.updated_at)

    return transactions.write(change)


def remove(transactions: Transactions, caller: Caller, webhook_id: int) -> None:
    """Delete an endpoint with its deliveries."""

    def take_away(session: Session) -> None:
        row = find(session, caller, webhook_id, lock=True)
        _record(session, "webhook_deleted", row, caller.actor)
        session.execute(delete(DeliveryRow).where(DeliveryRow.webhook_id == row.id))
        session.delete(row)

    transactions.write(take_away)


def replace_secret(transactions: Transactions, rules: Rules, caller: Caller, webhook_id: int) -> NewSecret:
    """A new secret, shown this once. The one before it also signs for ``OLD_SECRET_SECONDS``; an older one ends."""
    secret = new_secret()

    def replace(session: Session) -> NewSecret:
        row = find(session, caller, webhook_id, lock=True)
        row.old_secret, row.secret = row.secret, seal(rules.keys, secret)
        row.updated_at = now()
        row.old_secret_until = row.updated_at + timedelta(seconds=OLD_SECRET_SECONDS)
        _record(session, "webhook_secret_replaced", row, caller.actor)
        return {"id": row.id, "secret": shown(secret), "old_secret_until": to_text(row.old_secret_until)}

    return transactions.write(replace)


def move(transactions: Transactions, caller: Caller, webhook_id: int, place: Cursor, head: Cursor) -> Webhook:
    """Go on after ``place``: what lies behind it is delivered again, what it leaves out is not."""

    def set_place(session: Session) -> Webhook:
        row = find(session, caller, webhook_id, lock=True)
        row.epoch, row.event_id = place.epoch, place.event_id
        _try_at_once(row)
        row.updated_at = now()
        _record(session, "webhook_updated", row, caller.actor, fields=["cursor"])
        return as_webhook(session, row, head, row.updated_at)

    return transactions.write(set_place)


def disable(session: Session, row: WebhookRow, reason: str) -> WebhookNews:
    """Stop delivering to an endpoint until its owner resumes it; what the caller tells the bus after the commit."""
    moment = now()
    row.state, row.reason, row.retry_at, row.updated_at = "disabled", reason, None, moment
    _record(session, "webhook_disabled", row, OPERATOR, reason=reason)
    return {
        "id": row.id,
        "user_id": row.user_id,
        "url": row.url,
        "reason": reason,
        "cursor": str(cursor_of(row)),
        "at": to_text(moment),
    }


def find(session: Session, caller: Caller, webhook_id: int, lock: bool = False) -> WebhookRow:
    """The row of an endpoint that the caller may see; ``NotFound``."""
    query = _visible(caller).where(WebhookRow.id == checked_id(webhook_id))
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound
    return row


def _visible(caller: Caller) -> Select[WebhookRow]:
    query = select(WebhookRow)
    if caller.owner is not None:
        query = query.where(WebhookRow.user_id == caller.owner)
    if caller.actor.key_id is not None:
        query = query.where(WebhookRow.key_id == caller.actor.key_id)
    return query


def _check_owner(session: Session, user_id: int, all_users: bool) -> None:
    """Locks the owner's row: two creations at once must not both find the last free place."""
    user = session.get(UserRow, user_id, with_for_update=True) if is_id(user_id) else None
    if user is None or not user.active:
        raise NotFound
    if all_users and user.role != "admin":
        raise Forbidden("Only an administrator's webhook hears of everybody's changes")


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value) if name in _AS_JSON else value for name, value in fields.items()}


def _try_at_once(row: WebhookRow) -> None:
    row.tries, row.failing_since, row.retry_at = 0, None, None
    row.moves += 1


def _record(session: Session, action: str, row: WebhookRow, actor: Actor, **detail: Any) -> None:
    """Only the host of the URL: what follows it may be a secret."""
    host = target_of(row.url).authority
    audit.record(session, action, row.user_id, actor, webhook=row.id, host=host, **detail)
