"""Webhook endpoints and what was delivered to them."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

WebhookState = Literal["active", "paused", "disabled"]


class Webhook(TypedDict):
    """An endpoint that hears of changes, as its owner sees it; never with its secret.

    ``labels`` are filters such as ``crm.deal=42``; ``system`` wants documents with that system's label. Everything up
    to ``cursor`` is delivered, and ``lag`` entries of the journal lie behind it, the oldest for ``lag_seconds``.
    ``tries`` counts those of the event that fails now, since ``failing_since``. ``reason`` says why it is disabled.
    ``last_code`` is the status of the last answer, None when there was none, and ``last_error`` what was wrong with
    it; ``failed_at``, ``failed_code`` and ``failed_error`` are those of the last try that failed, however long ago.
    An old secret still signs until ``old_secret_until``.
    """

    id: int
    user_id: int
    key_id: int | None
    url: str
    description: str
    events: list[str]
    folder: str
    labels: list[str]
    system: str | None
    all_users: bool
    state: WebhookState
    reason: str | None
    cursor: str
    lag: int
    lag_seconds: float
    tries: int
    failing_since: str | None
    retry_at: str | None
    last_at: str | None
    last_code: int | None
    last_error: str | None
    failed_at: str | None
    failed_code: int | None
    failed_error: str | None
    old_secret_until: str | None
    created_at: str
    updated_at: str


class NewWebhook(Webhook):
    """The answer to making an endpoint: with ``secret``, which is shown this once."""

    secret: str


class WebhookPage(TypedDict):
    """One page of endpoints, oldest first; ``next`` is the cursor of the following page."""

    items: list[Webhook]
    next: str | None


class NewSecret(TypedDict):
    """An endpoint's new secret, shown this once; the old one still signs until ``old_secret_until``."""

    id: int
    secret: str
    old_secret_until: str


class Delivery(TypedDict):
    """What became of one message for an endpoint.

    ``kind`` tells the deliveries of the journal from a test and from a repetition that was asked for. ``answer`` is
    how the last answer begins, ``error`` what went wrong with the last try.
    """

    id: int
    message_id: str
    kind: Literal["event", "test", "redelivery"]
    event_id: int | None
    type: str
    cursor: str | None
    state: Literal["waiting", "delivered", "failed"]
    tries: int
    code: int | None
    answer: str | None
    error: str | None
    milliseconds: int | None
    created_at: str
    updated_at: str


class DeliveryPage(TypedDict):
    """Deliveries of an endpoint, newest first; ``next`` is the cursor of the following page."""

    items: list[Delivery]
    next: str | None


class WebhookNews(TypedDict):
    """An endpoint was disabled, and why; its owner may resume it, and it goes on after ``cursor``."""

    id: int
    user_id: int
    url: str
    reason: str
    cursor: str
    at: str
