"""What the gateway counts of requests, and what it tells of its connections and those who wait."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from docsave_services.metrics.registry import LONG_SECONDS, REGISTRY, Gauge

if TYPE_CHECKING:
    from gateway_http.request import GatewayRequest

REQUESTS = Counter(
    "docsave_http_requests_total",
    "Requests by method, route and status of the answer.",
    ("method", "route", "status"),
    registry=REGISTRY,
)
SECONDS = Histogram(
    "docsave_http_request_seconds",
    "From the end of a request's headers to the last byte of its answer, by method and route.",
    ("method", "route"),
    registry=REGISTRY,
    buckets=LONG_SECONDS,
)
RECEIVED = Counter("docsave_http_received_bytes_total", "Bytes of requests' bodies.", registry=REGISTRY)
SENT = Counter("docsave_http_sent_bytes_total", "Bytes of answers' bodies.", registry=REGISTRY)
DAMAGED = Counter(
    "docsave_damaged_content_total",
    "How often stored content was found missing, of another size or of another hash.",
    registry=REGISTRY,
)

CONNECTIONS = Gauge("docsave_http_connections", "Open connections.")
WAITING = Gauge("docsave_changes_waiting", "Requests that wait for a change.")

NO_ROUTE = "none"
"""The route of a path that has none: what clients make up never becomes a label."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def note_request(request: GatewayRequest, status: int, sent: int, seconds: float) -> None:
    """Count a request that has been answered."""
    method = request.method if request.method in _METHODS else "other"
    route = NO_ROUTE if request.route is None else template_of(request.route)
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(method, route).observe(seconds)
    RECEIVED.inc(request.body.received)
    SENT.inc(sent)


@cache
def template_of(url: str) -> str:
    """``/files/<id:file_id>`` as the documents write it: ``/files/{file_id}``."""
    return re.sub(r"<\w+:(\w+)>", r"{\1}", url)
