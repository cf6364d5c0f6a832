"""Administrators' own events, passed on to the sockets of all notifier processes: by the bus, never by the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eventlet
from amqp.exceptions import AMQPError
from kombu.exceptions import KombuError
from nameko.events import EventDispatcher

from docsave_services.contracts import RELAYED
from docsave_services.errors import Unavailable
from docsave_services.log import get_logger

_log = get_logger(__name__)

PUBLISH_SECONDS = 2.0


class Relay(EventDispatcher):
    """Injects ``relay(event)``: it reaches every process, this one too. ``Unavailable`` when the broker is away."""

    def get_dependency(self, worker_ctx: Any) -> Callable[[dict[str, Any]], None]:
        return self._publish

    def _publish(self, event: dict[str, Any]) -> None:
        try:
            with eventlet.Timeout(PUBLISH_SECONDS, TimeoutError("the broker does not confirm")):
                self.publisher.publish(event, exchange=self.exchange, routing_key=RELAYED)
        except (KombuError, AMQPError, OSError) as exc:
            _log.warning("event_not_relayed", error=str(exc))
            raise Unavailable("the event cannot be passed on at the moment; try again shortly") from exc
