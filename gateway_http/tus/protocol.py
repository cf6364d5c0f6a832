"""The words of tus 1.0.0 (https://tus.io/protocols/resumable-upload): versions, extensions, headers."""

from __future__ import annotations

import re

from werkzeug.datastructures import Headers
from werkzeug.http import HTTP_STATUS_CODES

from docsave_services.errors import BadRequest, ChecksumMismatch, UnsupportedMediaType, UnsupportedTusVersion
from gateway_http.request import GatewayRequest
from gateway_http.tus.checksum import ALGORITHMS

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,checksum,termination,expiration"
CONTENT_TYPE = "application/offset+octet-stream"
FILE_ID_HEADER = "Docsave-File-Id"

_PATH = "/uploads"
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
_OVERRIDES = ("PATCH", "DELETE")

HTTP_STATUS_CODES[ChecksumMismatch.status] = ChecksumMismatch.title  # tus's own; werkzeug would call it UNKNOWN


def concerns_uploads(path: str) -> bool:
    """Whether tus is spoken at this path."""
    return path == _PATH or path.startswith(f"{_PATH}/")


def method_of(request: GatewayRequest) -> str:
    """The request's method, or the one it stands for: some clients and proxies know no PATCH and DELETE."""
    override: str = request.environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "").upper()
    if request.method == "POST" and override in _OVERRIDES and concerns_uploads(request.path):
        return override
    return str(request.method)


def add_version_headers(headers: Headers, status: int) -> None:
    """What every answer of tus has."""
    headers["Tus-Resumable"] = VERSION
    if status == UnsupportedTusVersion.status:
        headers["Tus-Version"] = VERSION


def add_abilities(headers: Headers, size_max: int) -> None:
    """What a client learns with OPTIONS; ``size_max`` in bytes."""
    headers["Tus-Version"] = VERSION
    headers["Tus-Extension"] = EXTENSIONS
    headers["Tus-Max-Size"] = str(size_max)
    headers["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)


def require_version(request: GatewayRequest) -> None:
    """``UnsupportedTusVersion`` for a request that does not say that it speaks our version."""
    if request.environ.get("HTTP_TUS_RESUMABLE") != VERSION:
        raise UnsupportedTusVersion


def require_content_type(request: GatewayRequest) -> None:
    """``UnsupportedMediaType`` for a body that is not a piece of an upload."""
    if not has_content_type(request):
        raise UnsupportedMediaType(f"Send {CONTENT_TYPE}")


def has_content_type(request: GatewayRequest) -> bool:
    """Whether the body says that it is a piece of an upload."""
    return str(request.environ["CONTENT_TYPE"]).strip().lower() == CONTENT_TYPE


def whole_number(request: GatewayRequest, header: str) -> int | None:
    """The number of bytes in a header, None when it is not there; ``BadRequest`` for anything else."""
    text = header_text(request, header)
    if text is None:
        return None
    if not _WHOLE_NUMBER.fullmatch(text):
        raise BadRequest(f"{header} must be a whole number of bytes")
    return int(text)


def header_text(request: GatewayRequest, header: str) -> str | None:
    """A header as it came."""
    value = request.environ.get("HTTP_" + header.upper().replace("-", "_"))
    return None if value is None else str(value).strip()
