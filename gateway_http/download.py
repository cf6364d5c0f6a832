"""Sending content: all of it or a part, whatever of it the client has not got yet, with headers that are safe.

A whole content is checked against its hash on the way, so that no complete wrong copy ever leaves. A part has no hash
of its own; only the size of what it is cut from is checked.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

from werkzeug.http import http_date
from werkzeug.wrappers import Response

from docsave_services.errors import BlobDamaged, BlobMissing, RangeNotSatisfiable
from gateway_http.blob_access import in_thread
from gateway_http.content import Content, Source
from gateway_http.content_disposition import attachment
from gateway_http.outflow import Outflow, Pieces, damaged
from gateway_http.problem import problem_response
from gateway_http.ranges import Part, Unsatisfiable, part_wanted
from gateway_http.request import GatewayRequest

DOWNLOAD_HEADERS = {
    "Cache-Control": "private, no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
"""Kept by the client alone and asked for again each time; never shown as a page of ours."""

_HANDED_BACK = "X-Accel-Off"
"""nginx sends this when it cannot read what it was to send. Whoever else does gets content that is verified."""


def content_response(request: GatewayRequest, content: Content) -> Response:
    """What a GET or HEAD of ``content`` is answered: 200, 206, 304 or 416, for HEAD without the bytes.

    ``PreconditionFailed`` when the client wants another version (``If-Match``, ``If-Unmodified-Since``).
    Content that is missing or, up to one piece, damaged is ``BlobDamaged``; where it is larger the connection breaks
    before the last piece.
    """
    validators = content.validators
    validators.check(request.headers)
    headers = _headers(content)
    if validators.not_modified(request.headers):
        return Response(status=304, headers={name: headers[name] for name in ("ETag", "Cache-Control")})
    if request.method == "HEAD":
        _check(content)
        return Response(headers=headers)
    wanted = request.headers.get("Range") if validators.range_applies(request.headers) else None
    try:
        part = part_wanted(wanted, content.size)
    except Unsatisfiable:
        return _unsatisfiable(request, content)
    if _may_hand_over(request, content, part):
        return _handed_over(request, content, part, headers)
    return _whole(content, headers) if part is None else _part(content, part, headers)


def _headers(content: Content) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(content.sha256)).decode("ascii")
    return {
        "Content-Type": content.media_type,
        "Content-Length": str(content.size),
        "Content-Disposition": attachment(content.name),
        "ETag": content.validators.etag,
        "Last-Modified": http_date(content.modified),
        "Repr-Digest": f"sha-256=:{digest}:",
        "Accept-Ranges": "bytes",
        **DOWNLOAD_HEADERS,
    }


def _whole(content: Content, headers: dict[str, str]) -> Response:
    return flow(content, lambda source: source.whole()).response(200, headers)


def _part(content: Content, part: Part, headers: dict[str, str]) -> Response:
    length = str(part.stop - part.start)
    headers = {**headers, "Content-Length": length, "Content-Range": part.content_range}
    return flow(content, lambda source: source.part(part.start, part.stop)).response(206, headers)


def flow(content: Content, read: Callable[[Source], Pieces]) -> Outflow:
    """The pieces that ``read`` makes of the content's source, or of where it has just been moved to."""

    def again() -> Pieces | None:
        elsewhere = content.relocate()
        return None if elsewhere is None else read(elsewhere)

    return Outflow(read(content.source), lambda: content.described, again)


def _unsatisfiable(request: GatewayRequest, content: Content) -> Response:
    error = RangeNotSatisfiable(f"The content has {content.size} bytes")
    headers = {"Content-Range": f"bytes */{content.size}", "Accept-Ranges": "bytes"}
    return problem_response(error, request.request_id, headers)


def _may_hand_over(request: GatewayRequest, content: Content, part: Part | None) -> bool:
    """Whether nginx may send it: only with headers that it reads as we do."""
    if not request.settings.accel_redirect or content.blob is None:
        return False
    if any(name in request.headers for name in (_HANDED_BACK, "If-Match", "If-Unmodified-Since")):
        return False  # it would hold these two against what it knows of the blob
    return part is not None or "Range" not in request.headers


def _handed_over(request: GatewayRequest, content: Content, part: Part | None, headers: dict[str, str]) -> Response:
    """The headers alone: nginx adds the bytes, all or the part that the request's ``Range`` asks it for."""
    _check(content)
    location = f"{request.settings.accel_redirect}{content.blob}"
    response = Response(headers={**headers, "Content-Length": "0", "X-Accel-Redirect": location})
    if part is None:
        del response.headers["Accept-Ranges"]  # nginx adds its own, except to a part
    return response


def _check(content: Content) -> None:
    try:
        in_thread(content.source.check)
    except (BlobDamaged, BlobMissing) as exc:
        elsewhere = content.relocate()
        if elsewhere is None:
            raise damaged(content.described) from exc
        _check(replace(content, source=elsewhere, relocate=lambda: None))
