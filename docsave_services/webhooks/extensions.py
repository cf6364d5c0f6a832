"""How Nameko holds the dispatcher: started and stopped with the service, injected into its methods."""

from __future__ import annotations

import os
import socket
import uuid
from typing import Any

from docsave_services.contracts import FILES
from docsave_services.db.provider import transactions_for
from docsave_services.nameko_ext import DeadlineRpc
from docsave_services.settings import Settings
from docsave_services.webhooks.dispatcher import Dispatcher
from docsave_services.webhooks.endpoints import Rules
from docsave_services.webhooks.news import News


class Deliveries(DeadlineRpc):
    """Runs the ``Dispatcher`` for as long as the container, and injects it. The service also declares ``News``."""

    def __init__(self) -> None:
        super().__init__(FILES)

    def setup(self) -> None:
        super().setup()
        settings = Settings.from_config(self.container.config)
        news = next(each for each in self.container.dependencies if isinstance(each, News))
        self.dispatcher = Dispatcher(
            transactions_for(settings.db_uri),
            Rules(settings.keys, settings.webhook_allow_private),
            self.outside_worker(),
            news.disabled,
            # Not only the process: an id that comes again must not find leases of its predecessor.
            f"{socket.gethostname()[:20]}-{os.getpid()}-{uuid.uuid4().hex[:16]}",
        )

    def start(self) -> None:
        super().start()
        self.container.spawn_managed_thread(self.dispatcher.run, "webhook_dispatcher")

    def stop(self) -> None:
        self.dispatcher.stop()
        super().stop()

    def get_dependency(self, worker_ctx: Any) -> Dispatcher:  # type: ignore[override] # what it is used for
        return self.dispatcher
