"""Traces of OpenTelemetry, when ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set; otherwise nothing is imported and nothing done.

A trace begins with an HTTP request and follows what that causes; what a process does of itself is not traced. Green
threads do not inherit: whoever hands work to another one passes ``current()`` on, a W3C traceparent.
"""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docsave_services.tracing.spans import Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACEPARENT = "traceparent"
"""Key in Nameko's context data; travels as the AMQP header ``nameko.traceparent``."""

_WELL_FORMED = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NOTHING: AbstractContextManager[None] = nullcontext()

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_tracer: Tracer | None = None


def start(service: str) -> None:
    """Trace from now on, if an endpoint is set; once a process."""
    global _tracer
    if _tracer is None and os.environ.get(ENDPOINT):
        from docsave_services.tracing.spans import Tracer  # only now: the packages take time and memory

        _tracer = Tracer(service, _current)


def stop() -> None:
    """Send what has not been sent, for a moment."""
    if _tracer is not None:
        _tracer.flush()


def current() -> str | None:
    """The traceparent of what this green thread works for."""
    return _current.get()


def adopt(traceparent: object) -> None:
    """This green thread works for that from now on; what is no traceparent is None."""
    good = isinstance(traceparent, str) and _WELL_FORMED.fullmatch(traceparent)
    _current.set(str(traceparent) if good and _tracer is not None else None)


def carried() -> dict[str, str]:
    """What calls and events carry along."""
    traceparent = _current.get()
    return {} if traceparent is None else {TRACEPARENT: traceparent}


def span(name: str, kind: str = "internal", root: bool = False) -> AbstractContextManager[None]:
    """The block as a span below the current one. ``root`` begins a trace where there is none; else nothing happens.

    ``kind`` is ``internal``, ``server``, ``client``, ``producer`` or ``consumer``. An error is noted by its code.
    """
    if _tracer is None or (not root and _current.get() is None):
        return _NOTHING
    return _tracer.span(name, kind)
