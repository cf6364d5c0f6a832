"""What happened to files: an entry of the journal, which is an event on the bus and an item of the feed."""

from __future__ import annotations

from typing_extensions import TypedDict


class FileEvent(TypedDict):
    """One change of a file: a row of the journal, an event on the bus, an item of the feed.

    ``permanent`` is true for a ``File_delete`` after which the file is not even in the trash.
    """

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


class ChangesPage(TypedDict):
    """Events after a place in the journal, in commit order, and the place to go on from.

    ``more`` says that the journal goes on after ``cursor``; there may be something for this reader.
    """

    items: list[FileEvent]
    cursor: str
    more: bool


class ProtectedVersion(TypedDict):
    """A version of a user's file whose copy is safe."""

    id: int
    user_id: int
    version: int


class ProtectedNews(TypedDict):
    """Versions that became safe together."""

    items: list[ProtectedVersion]
