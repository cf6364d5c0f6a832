"""Docsave's services without a broker: a call is a call in the same process, an event goes straight to who hears it.

Nameko's extensions meet the broker in three places, and only these are replaced: the caller of a method
(``RpcCaller``), the publisher of events (``Publisher``), and the consumer that reads both (``QueueConsumer``). Workers,
handlers, deadlines, metrics and log lines are the same code as with a broker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import eventlet
from eventlet.event import Event
from nameko.events import EventHandler
from nameko.exceptions import ContainerBeingKilled, IncorrectSignature
from nameko.messaging import Publisher, QueueConsumer
from nameko.rpc import RpcConsumer

from docsave_services import tracing
from docsave_services.errors import DocsaveError, InternalError, RpcTimeout, Unavailable
from docsave_services.log import get_logger
from docsave_services.nameko_ext import RpcCaller
from gateway_http.readiness import ReadinessProvider

_log = get_logger(__name__)


@dataclass(slots=True)
class Switchboard:
    """Who is there: the consumers of all services that have started."""

    consumers: list[Any] = field(default_factory=list)

    def method(self, service: str, name: str) -> Any:
        """The entrypoint of a method; ``Unavailable`` while its service is not there."""
        for consumer in self.consumers:
            if consumer.container.service_name == service:
                for provider in consumer._providers:
                    if isinstance(provider, RpcConsumer):
                        return provider.get_provider_for_method(f"{service}.{name}")
        raise Unavailable(f"{service} is not running")

    def listeners(self, exchange: str, event_type: str) -> Iterator[EventHandler]:
        """The handlers of that event."""
        for consumer in list(self.consumers):
            for provider in list(consumer._providers):
                queue = provider.queue
                if isinstance(provider, EventHandler) and (queue.exchange.name, queue.routing_key) == (
                    exchange,
                    event_type,
                ):
                    yield provider


@dataclass(slots=True)
class _Message:
    """What a handler of hints reads of a message."""

    headers: Mapping[str, str]


class _LocalPublisher:
    """Hands an event to its handlers at once: they only note it, as ``nameko_ext.hints`` wants of them."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    def publish(
        self, payload: Any, *, exchange: Any, routing_key: str, extra_headers: Mapping[str, str] | None = None
    ) -> None:
        for handler in self._switchboard.listeners(exchange.name, routing_key):
            handler.handle_message(payload, _Message(extra_headers or {}))


def run_without_broker() -> None:
    """From now on services of this process find each other in it, and no other. Before the first one starts."""
    switchboard = Switchboard()

    def call(caller: RpcCaller, method: str, arguments: dict[str, Any]) -> Any:
        return _call(switchboard, caller, method, arguments)

    def set_up(publisher: Publisher) -> None:
        publisher.publisher = _LocalPublisher(switchboard)

    def listen(consumer: QueueConsumer) -> None:
        if consumer not in switchboard.consumers:
            switchboard.consumers.append(consumer)

    def hang_up(consumer: QueueConsumer) -> None:
        if consumer in switchboard.consumers:
            switchboard.consumers.remove(consumer)

    RpcCaller._call = call  # type: ignore[method-assign]
    Publisher.setup = set_up
    QueueConsumer.start = listen
    QueueConsumer.stop = QueueConsumer.kill = hang_up
    QueueConsumer.unregister_provider = lambda consumer, provider: consumer._providers.discard(provider)
    ReadinessProvider._ask_broker = lambda provider: None  # type: ignore[method-assign]


def _call(switchboard: Switchboard, caller: RpcCaller, method: str, arguments: dict[str, Any]) -> Any:
    """A worker of the service runs the method, as after a message; the errors are those of ``RpcCaller``."""
    entrypoint = switchboard.method(caller._service, method)
    done = Event()

    def handle_result(_worker: Any, result: Any, exc_info: Any) -> Any:
        if not done.ready():
            done.send((result, exc_info))
        return result, exc_info

    data = {**caller._context.context_data, **tracing.carried()}
    with eventlet.Timeout(caller._deadline, RpcTimeout(f"{caller._service} did not answer in time")):
        try:
            entrypoint.check_signature((), arguments)
            entrypoint.container.spawn_worker(entrypoint, (), arguments, data, handle_result)
        except ContainerBeingKilled as exc:
            raise Unavailable(f"{caller._service} is not running") from exc
        except IncorrectSignature as exc:
            raise InternalError from exc
        result, exc_info = done.wait()
    if exc_info is None:
        return result
    if isinstance(exc_info[1], DocsaveError):
        raise exc_info[1]
    _log.error("rpc_failed", service=caller._service, method=method, error=str(exc_info[1]))
    raise InternalError from exc_info[1]
