"""The versions of a file, as the backup tells them."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class Version(TypedDict):
    """One version of a file as its entry in the backup tells. What entries of the first release lack is left out."""

    version: int
    event: str
    name: str
    size: int
    sha256: str
    at: str
    media_type: NotRequired[str]
    folder: NotRequired[str]
    labels: NotRequired[dict[str, str]]
    by: NotRequired[int | None]
    permanent: NotRequired[bool]
    thinned: NotRequired[bool]


class VersionPage(TypedDict):
    """Versions of a file, newest first; ``next`` is the ``before`` of the following page, None after the last."""

    items: list[Version]
    next: int | None


class StoredVersion(Version):
    """One version with its owner and where its content lies, relative to the backup directory: at ``path``, or what
    ``patches`` make of that one after the other; with patches and no path the first needs nothing before it. Neither
    for a deletion, and for content that is missing or was thinned."""

    user_id: int
    path: str | None
    patches: NotRequired[list[str]]


class Hold(TypedDict):
    """A legal hold: no rule of retention gives up the version, or with ``version`` None any version of the file.
    ``released_at`` is None while it is in force."""

    user_id: int
    file_id: int
    version: int | None
    reason: str
    by: int
    at: str
    released_by: int | None
    released_at: str | None


class HoldPage(TypedDict):
    """Holds by file; ``next`` is the ``after`` of the following page, None after the last."""

    items: list[Hold]
    next: int | None
