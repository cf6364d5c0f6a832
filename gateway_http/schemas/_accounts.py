"""Accounts, sessions, API keys, the audit trail."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from docsave_services.contracts import AuditAction
from gateway_http.schemas import _shapes as shapes
from gateway_http.schemas._kinds import After, FileId, Limit, Moment, whole_number
from gateway_http.schemas._reading import Patch, Strict


class NewUser(Strict):
    """``POST /users``. What a login or password may be is the users service's business."""

    login: Annotated[str, shapes.LOGIN]
    password: Annotated[str, shapes.PASSWORD]
    name: Annotated[str, shapes.PERSON] | None = None


class Credentials(Strict):
    """``POST /login``."""

    login: str
    password: str


class UserPatch(Patch):
    """``PATCH /users/me``: what is not sent stays as it is; null is not a value of any field."""

    login: Annotated[str, shapes.LOGIN] = ""
    name: Annotated[str, shapes.PERSON] = ""
    password: Annotated[str, shapes.PASSWORD] = ""
    current_password: str = ""


class UserPatchByAdmin(Patch):
    """``PATCH /users/{id}``: what is not sent stays as it is; null takes a quota away."""

    name: Annotated[str, shapes.PERSON] = ""
    role: Literal["user", "admin"] = "user"
    active: bool = True
    quota_bytes: Annotated[int, Field(ge=0, le=2**62)] | None = None


class RefreshToken(Strict):
    """``POST /token/refresh``, ``POST /logout``. One that cannot be one of ours is refused like an unknown one."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=4096)]


class NewApiKey(Strict):
    """``POST /api-keys``. ``expires_at`` is a time in RFC 3339 with its offset."""

    name: Annotated[str, Field(min_length=1, max_length=255), shapes.PERSON]
    scopes: Annotated[list[Literal["files:read", "files:write", "events:read"]], Field(min_length=1, max_length=3)]
    expires_at: Moment | None = None


class UserListQuery(Strict):
    """``GET /users``."""

    limit: Limit = 100
    after: After = None
    q: Annotated[str, Field(max_length=255)] | None = None


class AuditQuery(Strict):
    """``GET /audit``: newest first; ``since`` is a time in RFC 3339 with its offset."""

    limit: Limit = 100
    after: After = None
    action: AuditAction | None = None
    user_id: Annotated[FileId, BeforeValidator(whole_number)] | None = None
    since: Moment | None = None
