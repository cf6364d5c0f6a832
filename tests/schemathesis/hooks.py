"""What a schema cannot say of a request that is meant to succeed; requests that are meant to fail are left as they are.

Nothing here hides an answer: a request is made what its sender meant, and every check applies to what comes back.
"""

from __future__ import annotations

import os
import re
import uuid
from typing import Any

import schemathesis

PIECE = "application/offset+octet-stream"


_NOT_KEPT = {
    "If-Match": r'\*|(?:W/)?"[!#-~]*"(?:, ?(?:W/)?"[!#-~]*")*',
    "Upload-Checksum": "(?:sha1|sha256|md5) [A-Za-z0-9+/]+=+",
}
"""Patterns that the library does not keep when it walks along the boundaries of headers: they have other characters
than letters and digits."""


@schemathesis.serializer(PIECE)
def as_it_is(_ctx: Any, value: Any) -> Any:
    """A piece of an upload is its bytes."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(_ctx: Any, case: Any, _kwargs: Any) -> None:
    """Runs before each request."""
    if case.operation.path == "/users/{id}" and str(case.path_parameters.get("id")) == os.environ.get("CALLER_ID"):
        case.path_parameters["id"] = 2**31 - 1  # the caller would take its own powers away
        case._sync_validated_hashes()
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    query, headers, body = case.query, case.headers, case.body
    query.pop("after", None)  # opaque: only a page gives one
    query.pop("size", None)  # of a proof: the history must have been that long
    for name in ("Content-Digest", "Repr-Digest"):
        headers.pop(name, None)  # of the content; the generator draws both apart
    headers.pop("Content-Disposition", None)  # its grammar is RFC 6266's
    for name, pattern in _NOT_KEPT.items():
        if not re.fullmatch(pattern, headers.get(name, "")):
            headers.pop(name, None)
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = uuid.uuid4().hex  # a key is for one request
    if "wait" in query:
        query["wait"] = min(int(query["wait"]), 1)  # there is nothing to wait for
    if isinstance(body, dict):
        _mend_fields(case, body)
    mend = _MENDED.get((case.method, case.operation.path))
    if mend is not None:
        mend(query, headers, body)
    # It stays what it was meant to be. The library would look at the schema again, and cannot for a form with bytes.
    case._sync_validated_hashes()


def _mend_fields(case: Any, body: dict[str, Any]) -> None:
    body.pop("after", None)
    if body.get("expires_at") is not None:
        body["expires_at"] = "2099-01-01T00:00:00Z"  # a key that is over already is refused
    if "url" in body and case.operation.path.startswith("/webhooks"):
        body["url"] = "https://crm.example.com/docsave"  # what a name leads to is judged, not how it is written


def _list_files(query: Any, _headers: Any, _body: Any) -> None:
    """The past has no other filters than these."""
    if "at" in query:
        for name in set(query) - {"at", "limit", "folder", "recursive", "deleted", "user_id"}:
            del query[name]


def _archive(query: Any, _headers: Any, _body: Any) -> None:
    """Either ids or a folder."""
    if "ids" in query:
        query.pop("folder", None)
    else:
        query.setdefault("folder", "")


def _save(query: Any, _headers: Any, body: Any) -> None:
    """A name in the query, for a raw body has none; and no field twice."""
    query.setdefault("name", "a.txt")
    _fields_once(query, _headers, body)


def _fields_once(query: Any, _headers: Any, body: Any) -> None:
    if isinstance(body, dict):
        for name in ("folder", "labels"):
            if name in query:
                body.pop(name, None)


def _announce(_query: Any, headers: Any, _body: Any) -> None:
    """A length, or that it comes later; and a name, in the form that tus asks for."""
    if "Upload-Length" in headers:
        headers.pop("Upload-Defer-Length", None)
    else:
        headers["Upload-Defer-Length"] = "1"
    headers["Upload-Metadata"] = "filename bm90ZS50eHQ="


_MENDED = {
    ("GET", "/files"): _list_files,
    ("GET", "/files/archive"): _archive,
    ("HEAD", "/files/archive"): _archive,
    ("POST", "/files"): _save,
    ("PUT", "/refs/{system}/{key}/files/{name}"): _fields_once,
    ("POST", "/uploads"): _announce,
}
