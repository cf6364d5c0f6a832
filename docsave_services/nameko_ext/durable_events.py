"""An event handler that loses nothing and never loops hot.

Nameko acknowledges an event whatever became of it (nameko#387) or, with ``requeue_on_error``, delivers it again at
once and for ever. Here a failed event waits a growing time, is delivered again, and after ``MAX_DELIVERIES`` tries
lies in a dead-letter queue for an operator to look at.
"""

from __future__ import annotations

from typing import Any

import eventlet
from kombu import Queue
from nameko.events import EventHandler

from docsave_services.log import get_logger

_log = get_logger(__name__)

MAX_DELIVERIES = 10
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0


def _dead_letters(name: str) -> str:
    return f"{name}.dead"


class QueueWithDeadLetters(Queue):
    """Declares its dead-letter queue with itself: at each connection, so that a broker that is away at the start or
    comes back with an empty disk makes no difference."""

    def declare(self, nowait: bool = False, channel: Any = None) -> Any:
        dead = Queue(_dead_letters(self.name), durable=True, queue_arguments={"x-queue-type": "quorum"})
        dead(channel or self.channel).queue_declare(nowait=nowait)
        return super().declare(nowait=nowait, channel=channel)


class DurableEventHandler(EventHandler):
    """A SERVICE_POOL handler on a quorum queue. At least once: the method must be idempotent."""

    queue: Queue

    def setup(self) -> None:
        super().setup()
        plain: Queue = self.queue
        arguments = {
            "x-queue-type": "quorum",
            "x-delivery-limit": MAX_DELIVERIES,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": _dead_letters(plain.name),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        self.queue = QueueWithDeadLetters(
            plain.name,
            exchange=plain.exchange,
            routing_key=plain.routing_key,
            durable=True,
            queue_arguments=arguments,
        )

    def handle_message_processed(self, message: Any, result: Any = None, exc_info: Any = None) -> None:
        if exc_info is None:
            self.queue_consumer.ack_message(message)
            return
        deliveries = int(message.headers.get("x-delivery-count", 0))
        pause = min(FIRST_PAUSE_SECONDS * 2**deliveries, LONGEST_PAUSE_SECONDS)
        _log.warning("event_retried_later", queue=self.queue.name, deliveries=deliveries + 1, pause=pause)
        eventlet.spawn_after(pause, self.queue_consumer.requeue_message, message)


durable_event_handler = DurableEventHandler.decorator
