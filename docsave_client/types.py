"""What the server's JSON holds. Later releases may add fields."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Backup(TypedDict):
    """How far the backup of a file has come."""

    state: str
    version: int


class File(TypedDict):
    """A document."""

    id: int
    user_id: int
    name: str
    size: int
    media_type: str
    sha256: str
    version: int
    created_at: str
    updated_at: str
    deleted_at: str | None
    folder: str
    labels: dict[str, str]
    backup: Backup


class Version(TypedDict):
    """One version of a document; ``event`` is what made it, such as ``File_update``."""

    version: int
    event: str
    name: str
    size: int
    sha256: str
    at: str


class RestoreStep(TypedDict):
    """What restoring does, or did, to one document. ``action`` is ``changed``, ``undeleted``, ``recreated`` (as
    ``new_id``), ``trashed``, ``left`` or ``failed``, with why in ``error``; ``differs`` names what is not as it was."""

    id: int
    user_id: int
    name: str
    folder: str
    action: str
    restored_version: int | None
    version: int | None
    differs: NotRequired[list[str]]
    new_id: NotRequired[int]
    error: NotRequired[dict[str, str]]


class Event(TypedDict):
    """One change of a document. ``relayed`` marks one that an administrator sent and that is not in the journal;
    ``previous`` is in the entries of a history: see ``chain``."""

    event_id: int
    type: str
    id: int
    user_id: int
    name: str
    path: str
    size: int
    media_type: str
    sha256: str
    version: int
    at: str
    by: int | None
    folder: str
    labels: dict[str, str]
    permanent: bool
    cursor: str
    relayed: NotRequired[bool]
    previous: NotRequired[str]


class Changes(TypedDict):
    """A page of the feed: ``more`` says that the journal goes on after ``cursor``."""

    items: list[Event]
    cursor: str
    more: bool


class Tokens(TypedDict):
    """A session: ``expires_at`` is when the access token ends, in seconds since 1970."""

    access_token: str
    refresh_token: str
    expires_at: float
