"""Files, folders and lists of them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from docsave_services.contracts._answers import Answer


class BackupState(TypedDict):
    """How far the backup of a file has come; ``version`` is the newest one whose copy is safe (0: none)."""

    state: Literal["pending", "protected"]
    version: int


class File(TypedDict):
    """A file as the API shows it."""

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
    backup: BackupState


class StoredFile(File):
    """What ``files.get_many`` returns: the file and the blob's key, which no client sees."""

    path: str


class FilePage(TypedDict):
    """One page of a list; ``next`` is the cursor of the following page."""

    items: list[File]
    next: str | None


class PageText(Answer):
    """A ``FilePage`` as JSON text, ready for a client."""

    page: NotRequired[str]


class PastPage(FilePage):
    """One page of the files as they were; ``at`` is the cursor of the place in the journal that they are of."""

    at: str


class Compared(TypedDict):
    """A file then and now. ``then`` None is one that was made since; with ``deleted_at`` it lay in the trash.

    ``now`` None is one that was removed for good and not made anew: ``recreation_key`` is the ``change_key`` to do so
    under, and once that was done ``now`` is the new one, of another id. ``made_by_restoring`` marks such a new one.
    """

    id: int
    then: StoredFile | None
    now: StoredFile | None
    recreation_key: str | None
    made_by_restoring: bool


class ComparedPage(TypedDict):
    """One page of files then and now; ``next`` is the cursor of the following page, ``at`` that of the place."""

    items: list[Compared]
    next: str | None
    at: str


class Folder(TypedDict):
    """A folder and how many files lie in it directly."""

    folder: str
    files: int


class FolderPage(TypedDict):
    """One page of a user's folders; ``next`` is the cursor of the following page."""

    items: list[Folder]
    next: str | None


class Usage(TypedDict):
    """What a user's files take up, those in the trash included; ``quota_bytes`` None means no limit."""

    user_id: int
    files: int
    used_bytes: int
    quota_bytes: int | None
