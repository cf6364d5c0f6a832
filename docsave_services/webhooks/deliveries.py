"""The use cases around deliveries: listed, asked for, forgotten when they are old."""

from __future__ import annotations

import uuid
from datetime import timedelta
from functools import partial

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from docsave_services.contracts import Delivery, DeliveryPage, FileEvent
from docsave_services.db.transactions import Transactions
from docsave_services.db.webhook_models import DeliveryRow, WebhookRow
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import TooManyDeliveries
from docsave_services.times import now
from docsave_services.webhooks.endpoints import Caller, find
from docsave_services.webhooks.limits import DELIVERIES_DAYS, DELIVERIES_KEPT, REQUESTS_MAX
from docsave_services.webhooks.rows import as_delivery
from docsave_services.webhooks.validation import page_place

TEST_TYPE = "Webhook_test"


def message_id(webhook_id: int, event: FileEvent) -> str:
    """The ``webhook-id`` of an event for an endpoint: the same with every try, and in no other journal."""
    return f"msg_{webhook_id}_{Cursor.parse(event['cursor']).epoch[:8]}_{event['event_id']}"


def page(transactions: Transactions, caller: Caller, webhook_id: int, limit: int, after: str | None) -> DeliveryPage:
    """A page of an endpoint's deliveries, newest first."""
    place = page_place(limit, after)

    def read(session: Session) -> DeliveryPage:
        query = select(DeliveryRow).where(DeliveryRow.webhook_id == find(session, caller, webhook_id).id)
        if place:
            query = query.where(DeliveryRow.id < place)
        rows = session.scalars(query.order_by(DeliveryRow.id.desc()).limit(limit + 1)).all()
        items = [as_delivery(row) for row in rows[:limit]]
        return {"items": items, "next": str(rows[limit - 1].id) if len(rows) > limit else None}

    return transactions.read(read)


def request_test(transactions: Transactions, caller: Caller, webhook_id: int) -> Delivery:
    """Have a message of the type ``Webhook_test`` sent once, whatever the endpoint's state."""
    return _request(transactions, caller, webhook_id, None)


def request_again(transactions: Transactions, caller: Caller, webhook_id: int, event: FileEvent) -> Delivery:
    """Have one event sent once more, beside the order of the others and under its own ``webhook-id``."""
    return _request(transactions, caller, webhook_id, event)


def _request(transactions: Transactions, caller: Caller, webhook_id: int, event: FileEvent | None) -> Delivery:
    def add(session: Session) -> Delivery:
        webhook = find(session, caller, webhook_id, lock=True)
        waiting = select(func.count()).where(DeliveryRow.webhook_id == webhook.id, DeliveryRow.state == "waiting")
        if (session.scalar(waiting) or 0) >= REQUESTS_MAX:
            raise TooManyDeliveries
        row = DeliveryRow(
            webhook_id=webhook.id,
            message_id=message_id(webhook.id, event) if event else f"msg_{webhook.id}_test_{uuid.uuid4().hex}",
            kind="redelivery" if event else "test",
            type=event["type"] if event else TEST_TYPE,
            epoch=Cursor.parse(event["cursor"]).epoch if event else None,
            event_id=event["event_id"] if event else None,
            state="waiting",
            tries=0,
            created_at=now(),
            updated_at=now(),
        )
        session.add(row)
        webhook.requests = True
        session.flush()
        return as_delivery(row)

    return transactions.write(add)


def waiting(transactions: Transactions, webhook_id: int) -> list[Delivery]:
    """What was asked for and is still to be made, oldest first."""
    query = select(DeliveryRow).where(DeliveryRow.webhook_id == webhook_id, DeliveryRow.state == "waiting")
    return transactions.read(lambda s: [as_delivery(row) for row in s.scalars(query.order_by(DeliveryRow.id))])


def no_more_requests(transactions: Transactions, webhook_id: int) -> None:
    """Say that everything which was asked for is made, if it is so."""
    left = select(DeliveryRow.id).where(DeliveryRow.webhook_id == webhook_id, DeliveryRow.state == "waiting")
    done = update(WebhookRow).where(WebhookRow.id == webhook_id, ~left.exists()).values(requests=False)
    transactions.write(lambda s: s.execute(done))


def prune(transactions: Transactions) -> None:
    """Forget all but the newest deliveries of each endpoint; doing it twice at once is harmless."""
    oldest = now() - timedelta(days=DELIVERIES_DAYS)
    _forget(transactions, DeliveryRow.created_at < oldest, DeliveryRow.state != "waiting")
    for webhook_id in transactions.read(lambda s: s.scalars(select(WebhookRow.id)).all()):
        last = transactions.read(partial(_last_to_forget, webhook_id))
        if last is not None:
            _forget(transactions, DeliveryRow.webhook_id == webhook_id, DeliveryRow.id <= last)


def _last_to_forget(webhook_id: int, session: Session) -> int | None:
    query = select(DeliveryRow.id).where(DeliveryRow.webhook_id == webhook_id).order_by(DeliveryRow.id.desc())
    return session.scalar(query.offset(DELIVERIES_KEPT).limit(1))


def _forget(transactions: Transactions, *conditions: ColumnElement[bool]) -> None:
    transactions.write(lambda s: s.execute(delete(DeliveryRow).where(*conditions)))
