"""Cross-origin access (Fetch standard). Tokens travel in a header, so no answer ever allows credentials."""

from __future__ import annotations

from werkzeug.datastructures import Headers

_PREFLIGHT = {
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Digest, Content-Disposition, Content-Type, Idempotency-Key, If-Match, "
        "If-Modified-Since, If-None-Match, If-Range, Prefer, Range, Repr-Digest, "
        "Tus-Resumable, Upload-Checksum, Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset, "
        "X-HTTP-Method-Override, X-Request-Id, X-Requested-With"
    ),
    "Access-Control-Max-Age": "600",
}
_EXPOSED = (
    "Accept-Ranges, Content-Disposition, Content-Range, Docsave-File-Id, ETag, Idempotent-Replayed, Location, "
    "Preference-Applied, Repr-Digest, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, "
    "Tus-Resumable, Tus-Version, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, "
    "X-Request-Id"
)


def add_cors_headers(headers: Headers, origin: str | None, allowed: tuple[str, ...]) -> None:
    """Let a page of ``origin`` read this answer, if the operator allows that origin."""
    if "*" in allowed:
        headers["Access-Control-Allow-Origin"] = "*"
    else:
        headers.add("Vary", "Origin")
        if origin not in allowed:
            return
        headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = _EXPOSED


def add_preflight_headers(headers: Headers, methods: str) -> None:
    """What a browser asks before it sends the request itself."""
    headers["Access-Control-Allow-Methods"] = methods
    headers.update(_PREFLIGHT)
