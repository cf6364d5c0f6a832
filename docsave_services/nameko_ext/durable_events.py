"""An event handler that loses nothing and never loops hot.

Nameko acknowledges an event whatever became of it (nameko#387) or, with ``requeue_on_error``, delivers it again at
once and for ever. Here a failed event waits a growing time and is tried again, and after ``MAX_ATTEMPTS`` tries it
lies in a dead-letter queue for an operator to look at.

The queues are classic ones, not quorum queues with a delivery limit: on a single RabbitMQ 3.10 node a quorum queue
whose declaration was a moment old when the node was killed never opened again, and its consumer could not start.
"""

from __future__ import annotations

from typing import Any

import eventlet
from amqp.exceptions import AMQPError
from kombu import Queue
from kombu.exceptions import KombuError
from nameko.amqp.publish import get_producer
from nameko.constants import AMQP_SSL_CONFIG_KEY, AMQP_URI_CONFIG_KEY, PERSISTENT
from nameko.events import EventHandler

from docsave_services.log import get_logger

_log = get_logger(__name__)

MAX_ATTEMPTS = 10
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0

ATTEMPTS_HEADER = "x-docsave-attempts"
"""How often a message has failed already; travels with its next copy."""


class DurableEventHandler(EventHandler):
    """A SERVICE_POOL handler on a durable queue. At least once: the method must be idempotent.

    A failed message is published again, with a confirm, before the broker forgets the first copy: a crash in between
    leaves two, never none.
    """

    queue: Queue

    @property
    def dead_letters(self) -> Queue:
        """Where an event lies that was tried ``MAX_ATTEMPTS`` times."""
        return Queue(f"{self.queue.name}.dead", durable=True)

    def handle_message_processed(self, message: Any, result: Any = None, exc_info: Any = None) -> None:
        if exc_info is None:
            self.queue_consumer.ack_message(message)
            return
        attempts = int(message.headers.get(ATTEMPTS_HEADER, 0)) + 1
        if attempts >= MAX_ATTEMPTS:
            _log.error("event_given_up", queue=self.queue.name, attempts=attempts)
            self._move(message, self.dead_letters, attempts)
            return
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (attempts - 1), LONGEST_PAUSE_SECONDS)
        _log.warning("event_retried_later", queue=self.queue.name, attempts=attempts, pause=pause)
        eventlet.spawn_after(pause, self._move, message, self.queue, attempts)

    def _move(self, message: Any, target: Queue, attempts: int) -> None:
        """Put a copy into ``target``, then let go of ``message``. When that fails the broker delivers it again."""
        config = self.container.config
        try:
            with get_producer(config[AMQP_URI_CONFIG_KEY], True, config.get(AMQP_SSL_CONFIG_KEY)) as producer:
                producer.publish(
                    message.body,
                    exchange="",
                    routing_key=target.name,
                    declare=[target],
                    headers={**message.headers, ATTEMPTS_HEADER: attempts},
                    content_type=message.content_type,
                    content_encoding=message.content_encoding,
                    delivery_mode=PERSISTENT,
                )
        except (KombuError, AMQPError, OSError) as exc:
            _log.warning("event_not_moved", queue=target.name, error=str(exc))
            self.queue_consumer.requeue_message(message)
        else:
            self.queue_consumer.ack_message(message)


durable_event_handler = DurableEventHandler.decorator
