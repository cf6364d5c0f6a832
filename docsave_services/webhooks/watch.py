"""What the webhooks service tells of its endpoints, every few seconds."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from nameko.extensions import DependencyProvider
from prometheus_client import Counter
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from docsave_services.db import journal
from docsave_services.db.models import FileEventRow
from docsave_services.db.provider import transactions_for
from docsave_services.db.webhook_models import WebhookRow
from docsave_services.metrics.registry import REGISTRY, Gauge, Reading
from docsave_services.metrics.watch import Watch, start_watch
from docsave_services.settings import Settings
from docsave_services.times import now

SHOWN_MAX = 200
"""Endpoints with gauges of their own: those that are most behind, or failed last. All are in the sums."""

STATES = ("active", "paused", "disabled")

DELIVERIES = Counter(
    "docsave_webhook_deliveries_total",
    "Messages sent to endpoints, by whether they were taken.",
    ("outcome",),
    registry=REGISTRY,
)

ENDPOINTS = Gauge("docsave_webhooks", "Endpoints by state.", ("state",))
FAILING = Gauge("docsave_webhooks_failing", "Active endpoints whose last delivery failed.")
LAG_EVENTS = Gauge("docsave_webhook_lag_events", "Changes after an active endpoint's place.", ("webhook",))
LAG_SECONDS = Gauge("docsave_webhook_lag_seconds", "How old the oldest of these is.", ("webhook",))
FAILING_SINCE = Gauge(
    "docsave_webhook_failing_since_timestamp_seconds", "Since when its deliveries fail.", ("webhook",)
)
LAST_FAILURE = Gauge(
    "docsave_webhook_last_failure_timestamp_seconds",
    "When a delivery to it last failed, whatever its state is.",
    ("webhook",),
)


class WebhooksWatch(DependencyProvider):
    """Publishes the gauges for as long as the container."""

    def start(self) -> None:
        transactions = transactions_for(Settings.from_config(self.container.config).db_uri)
        start_watch(self.container, Watch("webhooks", lambda: transactions.read(lambda s: list(endpoint_readings(s)))))

    def get_dependency(self, worker_ctx: Any) -> None:
        return None


def endpoint_readings(session: Session) -> Iterator[Reading]:
    """States of all endpoints; place and trouble of the active ones that are most behind; who failed last."""
    states = Tally(session.scalars(select(WebhookRow.state)))
    for state in STATES:
        yield Reading(ENDPOINTS, states[state], (state,))
    active = WebhookRow.state == "active"
    failing = session.scalars(select(WebhookRow.id).where(active, WebhookRow.failing_since.is_not(None)))
    yield Reading(FAILING, len(failing.all()))
    newest = journal.head(session)
    next_change = and_(FileEventRow.event_id == WebhookRow.event_id + 1, WebhookRow.epoch == newest.epoch)
    behind = (
        select(WebhookRow.id, WebhookRow.event_id, WebhookRow.failing_since, FileEventRow.at)
        .outerjoin(FileEventRow, next_change)
        .where(active)
        .order_by(WebhookRow.event_id)
        .limit(SHOWN_MAX)
    )
    moment = now()
    for webhook_id, place, since, at in session.execute(behind):
        label = (str(webhook_id),)
        yield Reading(LAG_EVENTS, max(newest.event_id - place, 0), label)
        yield Reading(LAG_SECONDS, _age(at, moment), label)
        if since is not None:
            yield Reading(FAILING_SINCE, since.timestamp(), label)
    failed = select(WebhookRow.id, WebhookRow.failed_at).where(WebhookRow.failed_at.is_not(None))
    for webhook_id, failed_at in session.execute(failed.order_by(WebhookRow.failed_at.desc()).limit(SHOWN_MAX)):
        if failed_at is not None:
            yield Reading(LAST_FAILURE, failed_at.timestamp(), (str(webhook_id),))


def _age(at: datetime | None, moment: datetime) -> float:
    return 0.0 if at is None else max((moment - at).total_seconds(), 0.0)
