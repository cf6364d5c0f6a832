"""Headers of requests and answers: what they mean, and what may stand in them."""

from __future__ import annotations

from typing import Any

from gateway_http.limits import IDEMPOTENCY_KEY_CHARACTERS_MAX
from gateway_http.tus.protocol import VERSION

_TEXT = {"type": "string"}
_BYTES = {"type": "integer", "minimum": 0}
_DATE = {"type": "string", "description": "A date of HTTP, such as Tue, 24 Nov 2026 10:15:00 GMT"}
_ETAG = {"type": "string", "pattern": '^"[0-9a-f]{64}"$'}
_TAG = r'(?:W/)?"[!#-~]*"'

_REQUEST: dict[str, tuple[str, dict[str, Any], Any]] = {
    "X-Request-Id": (
        "Your own id for the request, of at most 128 letters, digits, `.`, `_` and `-`. It stands in the answer and in"
        " the logs of every part; another text is replaced.",
        _TEXT,
        "crm-4711",
    ),
    "Idempotency-Key": (
        "Your name for the request. Sent again with the same key it changes nothing and gets the first answer, for 24"
        " hours.",
        {
            "type": "string",
            "minLength": 1,
            "maxLength": IDEMPOTENCY_KEY_CHARACTERS_MAX,
            "pattern": r"^[!-~](?:[ -~]*[!-~])?$",
        },
        "offer-42-1",
    ),
    "If-Match": (
        'Only if the file is that: its `ETag`, its version as `"v3"`, or `*`. With `DOCSAVE_REQUIRE_IF_MATCH` changes'
        " of a file need it.",
        {"type": "string", "pattern": rf"^(?:\*|{_TAG}(?:, ?{_TAG}){{0,98}})$"},
        '"v3"',
    ),
    "Prefer": (
        "`wait=10` answers once the change is safe in the backup, or after so many seconds (at most 30; RFC 7240). What"
        " cannot be read is ignored.",
        _TEXT,
        "wait=10",
    ),
    "Content-Digest": (
        "Hashes of the body, compared with what arrives (RFC 9530; `sha-256`, `sha-512`).",
        _TEXT,
        None,
    ),
    "Repr-Digest": ("Hashes of the content, compared with what arrives (RFC 9530).", _TEXT, None),
    "Content-Disposition": (
        "`attachment; filename*=UTF-8''offer.pdf` names the file of a raw body, where the query has no `name`.",
        _TEXT,
        None,
    ),
    "Range": ("One range, such as `bytes=0-499`; several, and what cannot be read, are ignored.", _TEXT, "bytes=0-4"),
    "If-Range": ("The range only of this `ETag` or date; else all.", _TEXT, None),
    "If-None-Match": ("304 when the content has this `ETag`.", _TEXT, None),
    "If-Modified-Since": ("304 when the content is not newer.", _TEXT, None),
    "If-Unmodified-Since": ("412 when the content is newer.", _TEXT, None),
    "Tus-Resumable": ("The version of tus.", {"type": "string", "const": VERSION}, VERSION),
    "Upload-Length": (
        "Bytes that the whole has. Needed, unless `Upload-Defer-Length` says that they come later.",
        {**_BYTES, "maximum": 10**18 - 1},
        11,
    ),
    "Upload-Defer-Length": ("`1`: the length comes with a later piece.", {"type": "string", "const": "1"}, None),
    "Upload-Metadata": (
        "`filename` (needed), `folder` and `labels` (JSON): a key and its value in base64, with commas between pairs."
        " Others are kept and given back.",
        _TEXT,
        "filename bm90ZS50eHQ=",
    ),
    "Upload-Offset": ("Where this piece begins.", {**_BYTES, "maximum": 10**18 - 1}, 0),
    "Upload-Checksum": (
        "`sha1`, `sha256` or `md5` and the hash of this piece in base64.",
        {
            "type": "string",
            "anyOf": [
                {"pattern": "^sha1 [A-Za-z0-9+/]{27}=$"},
                {"pattern": "^sha256 [A-Za-z0-9+/]{43}=$"},
                {"pattern": "^md5 [A-Za-z0-9+/]{22}==$"},
            ],
        },
        "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
    ),
}

_REQUIRED = ("Tus-Resumable", "Upload-Metadata", "Upload-Offset")
"""Every request that may have them needs them."""

_ANSWER: dict[str, tuple[str, dict[str, Any], bool]] = {
    "X-Request-Id": ("The request's id, also in the logs of every part.", _TEXT, True),
    "ETag": ("The hash of the content, quoted.", _ETAG, True),
    "Location": ("Where the new thing is.", {"type": "string", "format": "uri-reference"}, True),
    "Idempotent-Replayed": ("This is the answer of an earlier request with the key.", {"const": "true"}, False),
    "Preference-Applied": ("The preference that was honoured.", _TEXT, False),
    "Content-Length": ("Bytes of the body.", _BYTES, True),
    "Content-Disposition": ("The name, as an attachment (RFC 6266).", _TEXT, True),
    "Content-Range": ("Which bytes these are, or how many there are.", {"type": "string", "pattern": "^bytes "}, True),
    "Last-Modified": ("When the content was changed.", _DATE, True),
    "Repr-Digest": ("The SHA-256 of the whole content.", {"type": "string", "pattern": "^sha-256=:"}, True),
    "Accept-Ranges": ("`bytes`, or `none` where no part can be asked for.", {"enum": ["bytes", "none"]}, False),
    "Content-Security-Policy": ("What the page may load and do.", _TEXT, True),
    "WWW-Authenticate": ("How to authenticate.", {"type": "string", "pattern": "^Bearer"}, True),
    "Retry-After": ("Seconds after which to try again.", {"type": "integer", "minimum": 0}, False),
    "Tus-Resumable": ("The version of tus.", {"const": VERSION}, True),
    "Tus-Version": ("Versions of tus that are spoken here.", {"const": VERSION}, True),
    "Upload-Offset": ("Bytes that have arrived and are safe.", _BYTES, True),
    "Upload-Length": ("Bytes that the whole has.", _BYTES, False),
    "Upload-Defer-Length": ("The length is not known yet.", {"const": "1"}, False),
    "Upload-Metadata": ("What was announced.", _TEXT, False),
    "Upload-Expires": ("When the upload is over, unless a piece comes before.", _DATE, False),
    "Docsave-File-Id": ("The id of the file that the upload has become.", {"type": "integer", "minimum": 1}, False),
}


def request_headers() -> dict[str, Any]:
    """All headers of requests, as parameters to refer to."""
    return {name: _parameter(name) for name in _REQUEST}


def _parameter(name: str) -> dict[str, Any]:
    text, schema, example = _REQUEST[name]
    required = name in _REQUIRED
    parameter = {"name": name, "in": "header", "required": required, "description": text, "schema": schema}
    return {**parameter, "example": example} if required and example is not None else parameter


def answer_headers() -> dict[str, Any]:
    """All headers of answers to refer to."""
    return {
        name: {"description": text, "required": always, "schema": schema}
        for name, (text, schema, always) in _ANSWER.items()
    }
