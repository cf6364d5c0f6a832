"""Telling the bus what was revoked, after the commit. The bus is a hint: whoever misses it pulls ``revocations``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eventlet
from amqp.exceptions import AMQPError
from kombu.exceptions import KombuError
from nameko.events import EventDispatcher

from docsave_services.contracts import REVOKED
from docsave_services.db.provider import transactions_for
from docsave_services.errors import DocsaveError
from docsave_services.log import get_logger
from docsave_services.settings import Settings
from docsave_services.users import revoked

_log = get_logger(__name__)

PUBLISH_SECONDS = 2.0

Announce = Callable[[], None]


class News(EventDispatcher):
    """Injects ``announce()``: broadcasts every revocation that this process has not broadcast yet.

    It reads them from the database, so it also tells what an operator's command or another process revoked; the same
    thing told twice is harmless.
    """

    def setup(self) -> None:
        super().setup()
        self._told: int | None = None
        self.transactions = transactions_for(Settings.from_config(self.container.config).db_uri)

    def get_dependency(self, worker_ctx: Any) -> Announce:
        return self.announce

    def announce(self) -> None:
        """Never fails: what was committed is revoked, told or not."""
        try:
            page = self.transactions.read(lambda s: revoked.read(s, self._told))
            with eventlet.Timeout(PUBLISH_SECONDS, TimeoutError("the broker does not confirm")):
                for item in page["items"]:
                    self.publisher.publish(item, exchange=self.exchange, routing_key=REVOKED)
        except (KombuError, AMQPError, OSError, DocsaveError) as exc:
            _log.warning("revocation_not_told", error=str(exc))
        else:
            self._told = page["seq"]
