"""A small collector of traces: takes OTLP over HTTP, keeps the spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import eventlet
from eventlet import wsgi
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Span:
    """One span: of which service, in which trace, below which other one."""

    service: str
    name: str
    trace: str
    id: str
    parent: str


class Collector:
    """``url`` is what OTEL_EXPORTER_OTLP_ENDPOINT is set to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        message = ExportTraceServiceRequest.FromString(environ["wsgi.input"].read())
        for part in message.resource_spans:
            names = {a.key: a.value.string_value for a in part.resource.attributes}
            for span in (span for scope in part.scope_spans for span in scope.spans):
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                self.spans.append(Span(names["service.name"], span.name, *ids))
        start_response("200 OK", [("Content-Type", "application/x-protobuf")])
        return [b""]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port, for the length of the block."""
    sock = eventlet.listen(("127.0.0.1", 0))
    collector = Collector(f"http://127.0.0.1:{sock.getsockname()[1]}")
    thread = eventlet.spawn(wsgi.server, sock, collector, log_output=False)
    try:
        yield collector
    finally:
        thread.kill()
        sock.close()
