"""An RPC entrypoint that runs each call at most once, survives malformed messages, and leaks no internals."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import kombu.serialization
from amqp.exceptions import AMQPError
from kombu.exceptions import KombuError, MessageStateError
from nameko.exceptions import BadRequest, ContainerBeingKilled, MalformedRequest
from nameko.rpc import Rpc, RpcConsumer

from docsave_services.errors import DocsaveError, InternalError
from docsave_services.log import get_logger

_log = get_logger(__name__)


class AtMostOnceRpcConsumer(RpcConsumer):
    """Acknowledges a call when it starts, so that a crash in the middle never makes another process run it again.

    Nobody waits for a call that is redelivered after a crash: its caller got a timeout and decides itself.
    A message that cannot be answered (no ``reply_to``, unknown content type) is logged and dropped; with Nameko's
    consumer it kills the container, and kills it again after each restart.
    """

    def handle_message(self, body: Any, message: Any) -> None:
        problem = _malformation(body, message)
        if problem:
            _log.warning("rpc_message_dropped", problem=problem, routing_key=_routing_key(message))
            self.queue_consumer.ack_message(message)
            return
        super().handle_message(body, message)

    def handle_result(self, message: Any, result: Any, exc_info: Any) -> Any:
        try:
            return super().handle_result(message, result, exc_info)
        except MessageStateError:
            return result, exc_info  # Nameko acknowledges after the reply; here that is done when the call starts
        except (KombuError, AMQPError, OSError) as exc:
            # The caller's deadline tells it; killing the whole container for one lost answer helps nobody.
            _log.warning("rpc_reply_lost", routing_key=_routing_key(message), error=str(exc))
            # A call that was refused before it started is not acknowledged yet: as many of those as there are workers,
            # whose answer the broker does not take, and no call would ever be delivered again.
            with contextlib.suppress(MessageStateError):
                self.queue_consumer.ack_message(message)
            return result, exc_info


def _malformation(body: Any, message: Any) -> str | None:
    properties = message.properties
    if not isinstance(properties.get("reply_to"), str):
        return "no reply_to"
    content_type = properties.get("content_type") or message.content_type
    if content_type not in kombu.serialization.registry.type_to_name:
        return "unknown content type"
    properties["content_type"] = content_type
    if not isinstance(body, dict):
        return "body is not an object"
    if not isinstance(body.get("args", []), list) or not isinstance(body.get("kwargs", {}), dict):
        return "args or kwargs have the wrong type"
    return None


def _routing_key(message: Any) -> str:
    return str(message.delivery_info.get("routing_key"))


class CodedRpc(Rpc):
    """An ``@rpc`` method whose errors are coded: any other exception is logged and leaves as ``internal_error``."""

    rpc_consumer = AtMostOnceRpcConsumer()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(expected_exceptions=(DocsaveError, BadRequest), **kwargs)

    def handle_message(self, body: Any, message: Any) -> None:
        if "args" not in body or "kwargs" not in body:
            raise MalformedRequest("Message missing `args` or `kwargs`")
        self.check_signature(body["args"], body["kwargs"])
        try:
            self.container.spawn_worker(
                self,
                body["args"],
                body["kwargs"],
                context_data=self.unpack_message_headers(message),
                handle_result=partial(self.handle_result, message),
            )
        except ContainerBeingKilled:
            self.rpc_consumer.requeue_message(message)
        else:
            # The worker has a place but has not run yet: from here on a crash loses the call, never doubles it.
            self.rpc_consumer.queue_consumer.ack_message(message)

    def handle_result(self, message: Any, worker_ctx: Any, result: Any, exc_info: Any) -> Any:
        if exc_info is not None and not isinstance(exc_info[1], DocsaveError | BadRequest):
            error = InternalError()
            exc_info = (InternalError, error, exc_info[2])
        return super().handle_result(message, worker_ctx, result, exc_info)


rpc = CodedRpc.decorator
