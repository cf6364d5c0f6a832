"""Stopping when asked, not when something else happens to happen."""

from __future__ import annotations

from typing import Any

import eventlet
from nameko.extensions import DependencyProvider

AWAKE_SECONDS = 0.2


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
