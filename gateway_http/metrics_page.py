"""``GET /metrics``: for whoever collects metrics, not for clients."""

from __future__ import annotations

import ipaddress
from hmac import compare_digest

from werkzeug.wrappers import Response

from docsave_services.errors import NotFound, Unauthenticated
from docsave_services.metrics.exposition import CONTENT_TYPE
from docsave_services.metrics.provider import Metrics
from gateway_http.request import GatewayRequest

_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


def metrics_response(request: GatewayRequest, metrics: Metrics) -> Response:
    """The metrics of all processes of this data directory.

    With ``DOCSAVE_METRICS_TOKEN`` only for those who show it. Without it only for a neighbour: one with a private
    address who comes by no proxy; for others there is nothing here.
    """
    token = metrics.settings.metrics_token
    if token:
        if not compare_digest(_shown(request), token.encode()):
            raise Unauthenticated
    elif not _is_neighbour(request):
        raise NotFound
    return Response(metrics.all(), content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def _shown(request: GatewayRequest) -> bytes:
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip().encode("latin-1") if scheme.lower() == "bearer" else b""


def _is_neighbour(request: GatewayRequest) -> bool:
    if any(name in request.environ for name in _FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.environ.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return address.is_private or address.is_loopback
