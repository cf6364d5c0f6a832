"""Webhooks."""

from __future__ import annotations

from docsave_services.errors._base import DocsaveError


class TooManyWebhooks(DocsaveError):
    """This account has as many webhooks as one may have; delete one first."""

    code = "too_many_webhooks"
    status = 409
    title = "Conflict"


class TooManyDeliveries(DocsaveError):
    """As many deliveries as may wait for this webhook have been asked for; wait for them first."""

    code = "too_many_deliveries"
    status = 409
    title = "Conflict"
