"""Accounts, sessions, API keys and the audit trail."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

Role = Literal["user", "admin"]

SCOPES = ("files:read", "files:write", "events:read")
"""What an API key may be allowed to do."""


class User(TypedDict):
    """An account as the API shows it; never with a password or its hash."""

    id: int
    login: str
    name: str
    role: Role
    active: bool
    created_at: str
    updated_at: str


class UserDetails(User):
    """An account as an administrator sees it."""

    quota_bytes: int | None


class UserPage(TypedDict):
    """One page of accounts, oldest first; ``next`` is the cursor of the following page."""

    items: list[UserDetails]
    next: str | None


class TokenPair(TypedDict):
    """What logging in and refreshing give; ``expires_in`` is the access token's life in seconds."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str


class LiveSession(TypedDict):
    """A session as its owner sees it; ``address`` and ``agent`` are those it was opened with."""

    id: str
    created_at: str
    last_used_at: str
    address: str | None
    agent: str | None


class Revocation(TypedDict):
    """Tokens to refuse until ``until`` (RFC 3339): those of a session, those of a user with a ``ver`` below
    ``min_version``, or an API key."""

    seq: int
    kind: Literal["session", "user", "key"]
    id: str | int
    min_version: int | None
    until: str


class RevocationPage(TypedDict):
    """What was revoked after a place, in commit order, and the place to go on from."""

    items: list[Revocation]
    seq: int


class ApiKey(TypedDict):
    """An API key as its owner sees it; ``prefix`` is the part that may be shown."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class NewApiKey(ApiKey):
    """The answer to making a key: the only time that ``key`` itself is shown."""

    key: str


class VerifiedKey(TypedDict):
    """Who acts with an API key. ``version`` is the owner's, to hold against revocations of kind ``user``."""

    key_id: int
    user_id: int
    role: Role
    version: int
    scopes: list[str]
    expires_at: str | None


AuditAction = Literal[
    "login",
    "login_failed",
    "login_throttled",
    "logout",
    "refresh_reused",
    "sessions_revoked",
    "user_created",
    "user_updated",
    "password_changed",
    "key_created",
    "key_revoked",
    "file_deleted",
    "file_restored",
    "file_removed",
    "hold_placed",
    "hold_released",
    "webhook_created",
    "webhook_updated",
    "webhook_secret_replaced",
    "webhook_disabled",
    "webhook_deleted",
]


class AuditEntry(TypedDict):
    """One line of the audit trail: ``by`` did ``action`` to ``user_id``, from ``address``, with a session or a key."""

    id: int
    at: str
    action: str
    user_id: int | None
    by: int | None
    address: str | None
    session_id: str | None
    key_id: int | None
    detail: dict[str, Any]


class AuditPage(TypedDict):
    """One page of the audit trail, newest first; ``next`` is the cursor of the following page."""

    items: list[AuditEntry]
    next: str | None
