"""What is wrong with a request before anybody looks at what it asks for."""

from __future__ import annotations

from docsave_services.errors._base import DocsaveError


class BadRequest(DocsaveError):
    """The request could not be understood."""

    code = "bad_request"
    status = 400
    title = "Bad request"


class BadJson(BadRequest):
    """The body is not readable JSON."""

    code = "bad_json"


class BadMultipart(BadRequest):
    """The multipart body cannot be read."""

    code = "bad_multipart"


class BodyTruncated(BadRequest):
    """The body ended before its announced length; nothing was kept."""

    code = "body_truncated"


class NotFound(DocsaveError):
    """There is nothing here."""

    code = "not_found"
    status = 404
    title = "Not found"


class MethodNotAllowed(DocsaveError):
    """This path does not support that method."""

    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"


class BodyTimeout(DocsaveError):
    """The body stopped arriving; nothing was kept."""

    code = "body_timeout"
    status = 408
    title = "Request timeout"


class LengthRequired(DocsaveError):
    """Send a Content-Length or use chunked transfer coding."""

    code = "length_required"
    status = 411
    title = "Length required"


class TooLarge(DocsaveError):
    """The body is larger than allowed."""

    code = "too_large"
    status = 413
    title = "Content too large"


class UriTooLong(DocsaveError):
    """The URL is longer than 8 KiB."""

    code = "uri_too_long"
    status = 414
    title = "URI too long"


class UnsupportedMediaType(DocsaveError):
    """The body's media type is not one this call accepts."""

    code = "unsupported_media_type"
    status = 415
    title = "Unsupported media type"


class InvalidInput(DocsaveError):
    """Some of the input is not valid."""

    code = "invalid_input"
    status = 422
    title = "Invalid input"


class HeadersTooLarge(DocsaveError):
    """The request's headers are larger than 64 KiB."""

    code = "headers_too_large"
    status = 431
    title = "Request header fields too large"
