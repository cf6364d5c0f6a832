"""RPC calls with a deadline. Nameko's own proxy waits for ever for a service that is down (nameko#360)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import eventlet
import kombu.pools
from amqp.exceptions import AMQPError
from kombu.exceptions import KombuError
from nameko.exceptions import (
    IncorrectSignature,
    MalformedRequest,
    MethodNotFound,
    RemoteError,
    UnknownService,
)
from nameko.rpc import MethodProxy, RpcProxy

from docsave_services import tracing
from docsave_services.contracts import RPC_DEADLINE_SECONDS
from docsave_services.errors import DocsaveError, InternalError, RpcTimeout, Unavailable
from docsave_services.log import get_logger
from docsave_services.metrics.instruments import measured_call

_log = get_logger(__name__)

CONNECTION_POOL_SIZE = 32
"""Publishing connections a process keeps; kombu's 10 would queue publishers behind each other."""

kombu.pools.set_limit(CONNECTION_POOL_SIZE)


@dataclass(slots=True)
class _CallContext:
    """What Nameko reads of a worker when it publishes; lets code outside a worker call too."""

    container: Any
    context_data: dict[str, Any] = field(default_factory=dict)


class RpcCaller:
    """Calls methods of one service: ``caller("get", file_id=7)``.

    Raises the coded error the service raised; ``RpcTimeout`` when no answer came within the deadline (the outcome
    is then unknown); ``Unavailable`` when the broker or the service is not there; ``InternalError`` for the rest.
    """

    def __init__(self, context: Any, service: str, reply_listener: Any, deadline: float) -> None:
        self._context = context
        self._service = service
        self._reply_listener = reply_listener
        self._deadline = deadline

    def __call__(self, method: str, /, **arguments: Any) -> Any:
        with measured_call(self._service, method), tracing.span(f"call {self._service}.{method}", "client"):
            return self._call(method, arguments)

    def _call(self, method: str, arguments: dict[str, Any]) -> Any:
        # The message expires with the deadline: a service that comes back later must not run what nobody awaits.
        data = {**self._context.context_data, **tracing.carried()}
        context = _CallContext(self._context.container, data)
        proxy = MethodProxy(context, self._service, method, self._reply_listener, expiration=self._deadline)
        reply, asked = None, False
        timeout = eventlet.Timeout(self._deadline, RpcTimeout(f"{self._service} did not answer in time"))
        try:
            # In a process that is starting: an answer that comes before there is a queue for it is lost.
            self._reply_listener.queue_consumer._consumers_ready.wait()
            asked = True
            reply = proxy._call(**arguments)
            return reply.result()
        except RpcTimeout as exc:
            if asked:
                raise
            raise Unavailable("the message broker does not answer") from exc
        except DocsaveError:
            raise
        except UnknownService as exc:
            raise Unavailable(f"{self._service} is not running") from exc
        except (KombuError, AMQPError, OSError) as exc:
            _log.warning("rpc_broker_unreachable", service=self._service, method=method, error=str(exc))
            raise Unavailable("the message broker does not answer") from exc
        except (RemoteError, MethodNotFound, MalformedRequest, IncorrectSignature) as exc:
            _log.error("rpc_failed", service=self._service, method=method, error=str(exc))
            raise InternalError from exc
        finally:
            timeout.cancel()
            self._forget(reply)

    def _forget(self, reply: Any) -> None:
        """Drop the place of an answer that will not be waited for any more, or memory grows with each timeout."""
        pending = self._reply_listener._reply_events
        if reply is None or reply.resp_body is not None:
            return
        for correlation_id, event in list(pending.items()):
            if event is reply.reply_event:
                del pending[correlation_id]


class DeadlineRpc(RpcProxy):
    """Injects an ``RpcCaller`` for ``target_service``; ``deadline`` in seconds covers publishing and waiting."""

    def __init__(self, target_service: str, deadline: float = RPC_DEADLINE_SECONDS) -> None:
        super().__init__(target_service)
        self.deadline = deadline

    def get_dependency(self, worker_ctx: Any) -> RpcCaller:
        return RpcCaller(worker_ctx, self.target_service, self.rpc_reply_listener, self.deadline)

    def outside_worker(self, service: str | None = None, /, **context_data: Any) -> RpcCaller:
        """A caller for managed threads and timers, which have no worker context; of another ``service`` if one is
        named."""
        context = _CallContext(self.container, dict(context_data))
        return RpcCaller(context, service or self.target_service, self.rpc_reply_listener, self.deadline)
