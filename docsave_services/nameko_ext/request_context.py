"""The request's id, carried through RPC and events, in every log line of a worker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from nameko.events import EventHandler
from nameko.extensions import DependencyProvider
from nameko.rpc import Rpc
from nameko.timer import Timer

from docsave_services import tracing
from docsave_services.metrics.instruments import WORK_DONE, WORK_SECONDS, outcome_of

REQUEST_ID_KEY = "request_id"
"""Key in Nameko's context data; travels as the AMQP header ``nameko.request_id``."""


class RequestContext(DependencyProvider):
    """Binds the request's id and the method to the log lines of a worker, and injects the id (or None).

    Measures the work, too.
    """

    def start(self) -> None:
        tracing.start(self.container.service_name)

    def stop(self) -> None:
        tracing.stop()

    def get_dependency(self, worker_ctx: Any) -> str | None:
        value = worker_ctx.context_data.get(REQUEST_ID_KEY)
        return value if isinstance(value, str) else None

    def worker_setup(self, worker_ctx: Any) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            service=worker_ctx.service_name, method=worker_ctx.entrypoint.method_name
        )
        request_id = self.get_dependency(worker_ctx)
        if request_id:
            structlog.contextvars.bind_contextvars(request_id=request_id)
        tracing.adopt(worker_ctx.context_data.get(tracing.TRACEPARENT))
        kind = kind_of(worker_ctx.entrypoint)
        worker_ctx.traced = tracing.span(f"{worker_ctx.service_name}.{worker_ctx.entrypoint.method_name}", _SPANS[kind])
        if kind is not None:  # otherwise somebody else's span is around this
            worker_ctx.traced.__enter__()
        worker_ctx.began = time.perf_counter()

    def worker_result(self, worker_ctx: Any, result: Any = None, exc_info: Any = None) -> None:
        kind, method = kind_of(worker_ctx.entrypoint), worker_ctx.entrypoint.method_name
        if kind is not None:
            worker_ctx.traced.__exit__(*(exc_info or (None, None, None)))
            WORK_SECONDS.labels(kind, method).observe(time.perf_counter() - worker_ctx.began)
            WORK_DONE.labels(kind, method, outcome_of(exc_info[1] if exc_info else None)).inc()


@contextmanager
def heard_of(context_data: Mapping[str, Any], name: str) -> Iterator[None]:
    """The block is about a message that came with ``context_data``: its log lines and its span belong to the request
    that caused it. For a green thread that goes on to the next message afterwards."""
    request_id = context_data.get(REQUEST_ID_KEY)
    known = {"request_id": request_id} if isinstance(request_id, str) else {}
    tracing.adopt(context_data.get(tracing.TRACEPARENT))
    try:
        with structlog.contextvars.bound_contextvars(**known), tracing.span(name, "consumer"):
            yield
    finally:
        tracing.adopt(None)


def kind_of(entrypoint: Any) -> str | None:
    """What starts the work: ``rpc``, ``event``, ``timer``, or what the entrypoint says of itself; None where somebody
    else measures it."""
    for kind, base in _KINDS.items():
        if isinstance(entrypoint, base):
            return kind
    return getattr(entrypoint, "measured_as", None)


_SPANS = {"rpc": "server", "event": "consumer", "timer": "internal", "socket": "server", None: "internal"}
_KINDS = {"rpc": Rpc, "event": EventHandler, "timer": Timer}
