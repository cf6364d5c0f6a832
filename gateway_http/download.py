"""Sending a file: streamed, and checked against its hash on the way, so that no complete wrong copy ever leaves."""

from __future__ import annotations

import base64

from werkzeug.http import http_date
from werkzeug.wrappers import Response

from docsave_services.errors import BlobDamaged, BlobMissing
from gateway_http.blob_access import in_thread
from gateway_http.content import Content
from gateway_http.content_disposition import attachment
from gateway_http.outflow import Outflow, damaged
from gateway_http.request import GatewayRequest


def content_response(request: GatewayRequest, content: Content) -> Response:
    """``content``, or for HEAD its headers alone.

    What is missing or, up to one piece, damaged is ``BlobDamaged``; a larger one breaks the connection before the last
    piece.
    """
    headers = _headers(content)
    if request.method == "HEAD":
        _check(content)
        return Response(headers=headers)
    return Outflow(content.source.whole(), content.label).response(200, headers)


def _headers(content: Content) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(content.sha256)).decode("ascii")
    return {
        "Content-Type": content.media_type,
        "Content-Length": str(content.size),
        "Content-Disposition": attachment(content.name),
        "ETag": content.etag,
        "Last-Modified": http_date(content.modified),
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _check(content: Content) -> None:
    try:
        in_thread(content.source.check)
    except (BlobDamaged, BlobMissing) as exc:
        raise damaged(content.label) from exc
