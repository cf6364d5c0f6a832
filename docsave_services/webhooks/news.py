"""Telling the bus about endpoints, after the commit. A hint: what it tells of is written down, and looked at anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eventlet
from amqp.exceptions import AMQPError
from kombu.exceptions import KombuError
from nameko.events import EventDispatcher

from docsave_services.contracts import WEBHOOK_CHANGED, WEBHOOK_DISABLED, WebhookNews
from docsave_services.log import get_logger

_log = get_logger(__name__)

PUBLISH_SECONDS = 2.0

Announce = Callable[[int], None]


class News(EventDispatcher):
    """Injects ``announce(webhook_id)``: every process of the service looks at that endpoint now. Never fails."""

    def get_dependency(self, worker_ctx: Any) -> Announce:
        return self.announce

    def announce(self, webhook_id: int) -> None:
        """An endpoint was changed."""
        self._publish(WEBHOOK_CHANGED, {"id": webhook_id})

    def disabled(self, news: list[WebhookNews]) -> None:
        """Endpoints were disabled: their owners' sockets are told."""
        for item in news:
            self._publish(WEBHOOK_DISABLED, item)

    def _publish(self, event_type: str, payload: Any) -> None:
        try:
            with eventlet.Timeout(PUBLISH_SECONDS, TimeoutError("the broker does not confirm")):
                self.publisher.publish(payload, exchange=self.exchange, routing_key=event_type)
        except (KombuError, AMQPError, OSError) as exc:
            _log.warning("webhook_news_not_told", type=event_type, error=str(exc))
