"""Stopping when asked, not when something else happens to happen."""

from __future__ import annotations

import functools
from typing import Any

import eventlet
from nameko.extensions import DependencyProvider
from nameko.messaging import QueueConsumer

AWAKE_SECONDS = 0.2
CONSUMER_SECONDS = 0.1
"""How often a consumer looks whether it should go while no message comes."""

# Each of a service's consumers is taken away in the consumer's own thread, when a message comes or when it next looks:
# with kombu's interval of a second a service took three to stop, and a system with its three layers eight.
QueueConsumer.consume = functools.partialmethod(QueueConsumer.consume, safety_interval=CONSUMER_SECONDS)


class PromptStop(DependencyProvider):
    """Wakes the event loop every ``AWAKE_SECONDS``.

    The handler of SIGTERM only schedules the stop, and eventlet looks at its schedule when it next wakes: in a
    service that waits for messages that is a second or two later, out of the few that a stop may take.
    """

    def start(self) -> None:
        self.container.spawn_managed_thread(self._stay_awake, identifier="stay_awake")

    def get_dependency(self, worker_ctx: Any) -> None:
        return None

    def _stay_awake(self) -> None:
        while True:
            eventlet.sleep(AWAKE_SECONDS)
