"""Errors as ``application/problem+json`` (RFC 9457). No answer carries a traceback, a class name or a path."""

from __future__ import annotations

from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.http import http_date
from werkzeug.wrappers import Response

from docsave_services import quick_json
from docsave_services.errors import (
    RETRY_AFTER,
    BadRequest,
    BodyTimeout,
    DocsaveError,
    Forbidden,
    HeadersTooLarge,
    InsufficientScope,
    InternalError,
    InvalidInput,
    LengthRequired,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
    UriTooLong,
)
from docsave_services.log import get_logger
from gateway_http.limits import RETRY_AFTER_SECONDS

_log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

_BY_STATUS: dict[int, type[DocsaveError]] = {
    error.status: error
    for error in (
        BadRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        BodyTimeout,
        LengthRequired,
        TooLarge,
        UriTooLong,
        UnsupportedMediaType,
        InvalidInput,
        HeadersTooLarge,
        Unavailable,
    )
}


def _from_itself(exc: Exception) -> DocsaveError:
    assert isinstance(exc, DocsaveError)  # noqa: S101 - the table says so; for the type checker
    return exc


def _from_werkzeug(exc: Exception) -> DocsaveError:
    return _BY_STATUS.get(getattr(exc, "code", None) or 500, InternalError)()


def _unexpected(exc: Exception) -> DocsaveError:
    _log.error("unexpected_error", exc_info=exc)
    return InternalError()


_TABLE = {DocsaveError: _from_itself, HTTPException: _from_werkzeug, Exception: _unexpected}


def error_of(exc: Exception) -> DocsaveError:
    """The coded error that stands for ``exc``: the table's entry for the nearest of its base classes."""
    return next(_TABLE[cls](exc) for cls in type(exc).__mro__ if cls in _TABLE)


def problem_response(error: DocsaveError, request_id: str, headers: dict[str, str] | None = None) -> Response:
    """The answer for ``error``, with the headers its status asks for."""
    body: dict[str, Any] = {
        "type": f"urn:docsave:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
    }
    errors = [each for each in error.errors if each["field"] != RETRY_AFTER]
    if errors:
        body["errors"] = errors
    response = Response(quick_json.dumps(body), status=error.status, content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Request-Id"] = request_id
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, InsufficientScope):  # RFC 6750, section 3.1
        response.headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"'
    if error.status in (423, 429, 503):
        response.headers["Retry-After"] = str(_retry_after(error))
    response.headers.update(headers or {})
    return response


def _retry_after(error: DocsaveError) -> int:
    """Seconds: what a service says, else the usual."""
    said = error.retry_after if isinstance(error, TooManyRequests) else None
    return RETRY_AFTER_SECONDS if said is None else max(1, said)


def closing_answer(error: DocsaveError, request_id: str, with_body: bool = True) -> bytes:
    """The whole HTTP answer, for requests that never reach the application; the connection ends after it."""
    headers = {"Connection": "close", "Date": http_date()}
    response = problem_response(error, request_id, headers)
    body = response.get_data() if with_body else b""
    return f"HTTP/1.1 {response.status}\r\n{response.headers}".encode("latin-1") + body
