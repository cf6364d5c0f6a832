"""Answers that are not problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

from docsave_services import quick_json
from docsave_services.contracts import File, LiveSession, StoredFile, User
from docsave_services.tokens import Identity


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``value`` as JSON; never kept by a cache."""
    return text_response(quick_json.dumps(value), status, headers)


def text_response(text: bytes | str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``text`` that is JSON already; never kept by a cache."""
    response = Response(text, status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    return response


def etag_of(file: File) -> str:
    """The entity tag of a file's content: its quoted hash."""
    return f'"{file["sha256"]}"'


def public_file(stored: File) -> dict[str, Any]:
    """The file without the key of its blob, which is nobody's business outside."""
    return {key: value for key, value in stored.items() if key != "path"}


def file_response(stored: StoredFile, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A file's metadata with its ``ETag``."""
    return json_response(public_file(stored), status, {"ETag": etag_of(stored), **(headers or {})})


@dataclass(frozen=True, slots=True)
class Saved:
    """What a change led to: the file, whether it is a new one, and whether this is an earlier request's result."""

    file: StoredFile
    created: bool
    replayed: bool


def saved_response(saved: Saved) -> Response:
    """The file as the change left it: 201 with its address when it is new, else 200."""
    headers = replayed_header(saved.replayed)
    if saved.created:
        return file_response(saved.file, 201, {"Location": f"/files/{saved.file['id']}", **headers})
    return file_response(saved.file, headers=headers)


def deleted_response(saved: Saved) -> Response:
    """204 for a file that went."""
    response = no_content()
    response.headers.update(replayed_header(saved.replayed))
    return response


def replayed_header(replayed: bool) -> dict[str, str]:
    """Tells the client of an ``Idempotency-Key`` that nothing happened this time."""
    return {"Idempotent-Replayed": "true"} if replayed else {}


def created_user(user: User) -> Response:
    """201 for a new account. Its address is that of its owner, the only one who may read it."""
    return json_response(user, 201, {"Location": f"/users/{user['id']}"})


def created_key(key: Mapping[str, Any]) -> Response:
    """201 for a new API key: the only answer that ever contains it."""
    return json_response(key, 201, {"Location": f"/api-keys/{key['id']}"})


def own_sessions(sessions: Sequence[LiveSession], identity: Identity) -> dict[str, Any]:
    """The caller's sessions; ``current`` marks the one that asks."""
    return {"items": [{**session, "current": session["id"] == identity.session_id} for session in sessions]}


def no_content() -> Response:
    """204."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
