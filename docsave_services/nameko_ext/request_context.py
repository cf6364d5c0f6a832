"""The request's id, carried through RPC and events, in every log line of a worker."""

from __future__ import annotations

from typing import Any

import structlog
from nameko.extensions import DependencyProvider

REQUEST_ID_KEY = "request_id"
"""Key in Nameko's context data; travels as the AMQP header ``nameko.request_id``."""


class RequestContext(DependencyProvider):
    """Binds the request's id and the method to the log lines of a worker, and injects the id (or None)."""

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
