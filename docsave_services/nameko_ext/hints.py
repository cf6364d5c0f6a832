"""Events that are only hints: who misses one finds what it said elsewhere, so speed is all they are about.

Nameko gives each message a worker, which in the gateway means making some twenty dependencies anew, and acknowledges
each: a fifth of the gateway's processor time while small files are uploaded, and most of the notifier's. A hint is
handled where it is read, by one instance of the service that is kept, and the broker waits for nothing.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from nameko.containers import WorkerContext
from nameko.events import BROADCAST, EventHandler

from docsave_services.log import get_logger
from docsave_services.nameko_ext.request_context import heard_of

_log = get_logger(__name__)


class HintHandler(EventHandler):
    """Calls the method with each event of that type, in every process of the service, at most once.

    The method runs in the consumer's own green thread, in the order of the messages: it must not wait for anything. An
    error in it is logged and ends with that hint.
    """

    def __init__(self, source_service: str, event_type: str, **kwargs: Any) -> None:
        super().__init__(source_service, event_type, handler_type=BROADCAST, reliable_delivery=False, **kwargs)

    def setup(self) -> None:
        super().setup()
        self.queue.no_ack = True

    def handle_message(self, body: Any, message: Any) -> None:
        try:
            with heard_of(self.unpack_message_headers(message), f"{self.container.service_name}.{self.method_name}"):
                getattr(self._service, self.method_name)(body)
        except Exception:
            _log.exception("hint_failed", event_type=self.event_type, handler=self.method_name)

    @cached_property
    def _service(self) -> Any:
        """An instance with its dependencies, as a worker has one."""
        service = self.container.service_cls()
        context = WorkerContext(self.container, service, self)
        for provider in self.container.dependencies:
            setattr(service, provider.attr_name, provider.get_dependency(context))
        return service


hint = HintHandler.decorator
