"""Spans, and sending them: imported only where traces are wanted.

Sending is a green thread's: the exporter's sockets and pauses are eventlet's, so a collector that hangs holds up
nothing else. What it does not take in time is dropped and counted; nothing waits for it.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import eventlet
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from docsave_services import __version__
from docsave_services.log import get_logger
from docsave_services.metrics.instruments import outcome_of

_log = get_logger(__name__)

WAITING_MAX = 4096
"""Spans that wait to be sent; past it the oldest are dropped."""

BATCH_MAX = 512
EVERY_SECONDS = 1.0
SEND_SECONDS = 5.0
FLUSH_SECONDS = 1.0

_KINDS = {kind.name.lower(): kind for kind in SpanKind}
_PROPAGATOR = TraceContextTextMapPropagator()

logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # a collector that is away is told once, by us


class Tracer:
    """Makes spans; ``current`` holds the traceparent of the one that this green thread is in."""

    def __init__(self, service: str, current: ContextVar[str | None]) -> None:
        resource = {"service.name": f"docsave-{service}", "service.version": __version__}
        self._sender = Sender()
        provider = TracerProvider(resource=Resource.create(resource), shutdown_on_exit=False)
        provider.add_span_processor(self._sender)
        self._tracer = provider.get_tracer("docsave")
        self._current = current
        eventlet.spawn(self._sender.run)

    @contextmanager
    def span(self, name: str, kind: str) -> Iterator[None]:
        """See ``tracing.span``."""
        span = self._tracer.start_span(name, self._parent(), kind=_KINDS[kind])
        made = span.get_span_context()
        token = self._current.set(
            f"00-{format_trace_id(made.trace_id)}-{format_span_id(made.span_id)}-{int(made.trace_flags):02x}"
        )
        try:
            yield
        except BaseException as exc:
            span.set_status(Status(StatusCode.ERROR, outcome_of(exc)))
            raise
        finally:
            self._current.reset(token)
            span.end()

    def _parent(self) -> Context:
        traceparent = self._current.get()
        return Context() if traceparent is None else _PROPAGATOR.extract({"traceparent": traceparent}, Context())

    def flush(self) -> None:
        """Send what waits, for ``FLUSH_SECONDS`` at most."""
        with eventlet.Timeout(FLUSH_SECONDS, False):
            self._sender.send_waiting()


class Sender(SpanProcessor):
    """Gathers ended spans and sends them."""

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter(timeout=int(SEND_SECONDS))
        self._waiting: deque[ReadableSpan] = deque(maxlen=WAITING_MAX)
        self._dropped = 0
        self._told = False

    def on_end(self, span: ReadableSpan) -> None:
        """Called by whoever ends a span; never waits."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        self._dropped += len(self._waiting) == WAITING_MAX
        self._waiting.append(span)

    def run(self) -> None:
        """Send for ever."""
        while True:
            eventlet.sleep(EVERY_SECONDS)
            self.send_waiting()

    def send_waiting(self) -> None:
        """Send all that waits now."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            if not self._is_sent(batch):
                self._dropped += len(batch)
                break
        if self._dropped and not self._told:
            self._told = True
            _log.warning("spans_dropped", endpoint=os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"), count=self._dropped)

    def _is_sent(self, batch: Sequence[ReadableSpan]) -> bool:
        try:
            with eventlet.Timeout(SEND_SECONDS, TimeoutError("the collector does not answer")):
                return self._exporter.export(batch).name == "SUCCESS"
        except Exception as exc:
            _log.info("spans_not_sent", error=type(exc).__name__)
            return False
