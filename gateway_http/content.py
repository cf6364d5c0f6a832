"""Content that can be downloaded, whatever it is kept in: what ``download`` needs to know of it, and how to read it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from docsave_services.contracts import StoredFile
from docsave_services.storage import BlobStore
from gateway_http.conditional import Validators


class Source(Protocol):
    """Where the bytes come from. Every method, and every step of what it returns, runs in a thread and may block.

    What is not there is ``BlobMissing``, what has another size or hash ``BlobDamaged``.
    """

    def check(self) -> None:
        """Look whether the content is there with its size, without reading it."""

    def whole(self) -> Generator[bytes, None, None]:
        """All of it in pieces, the last one only after the whole matched its hash. Empty content is no or empty pieces.

        Closing the generator closes the file.
        """

    def part(self, start: int, stop: int) -> Generator[bytes, None, None]:
        """The bytes from ``start`` up to ``stop`` (exclusive), within the size. Its size is checked, not its hash."""


def _stays() -> None:
    """Of content that is never moved."""


@dataclass(frozen=True, slots=True)
class Content:
    """A version of a file as a download: what its headers say, and where its bytes are.

    ``size`` in bytes; ``sha256`` in hexadecimal; ``label`` names it in the log when it is damaged. ``blob`` is its key
    in the blob store, when a proxy may send it from there by itself; None for content of another kind.
    """

    name: str
    media_type: str
    size: int
    sha256: str
    version: int
    modified: datetime
    label: str
    source: Source
    blob: str | None = None
    relocate: Callable[[], Source | None] = _stays
    """Where the bytes are now, if elsewhere than before: the backup may compact them at any moment. Not in a thread."""

    @property
    def described(self) -> str:
        """What the log says of damaged content: whose it is, and the hash by which the backup has it."""
        return f"{self.label}, sha256 {self.sha256}"

    @property
    def validators(self) -> Validators:
        """What conditions of a request are held against."""
        return Validators(self.sha256, self.version, self.modified)


@dataclass(frozen=True, slots=True)
class BlobSource:
    """A blob of the store."""

    store: BlobStore
    key: str
    size: int

    def check(self) -> None:
        self.store.check_size(self.key, self.size)

    def whole(self) -> Generator[bytes, None, None]:
        return self.store.read_verified(self.key, self.size)

    def part(self, start: int, stop: int) -> Generator[bytes, None, None]:
        return self.store.read_part(self.key, self.size, start, stop)


def content_of_file(store: BlobStore, file: StoredFile) -> Content:
    """The current content of ``file``."""
    return Content(
        name=file["name"],
        media_type=file["media_type"],
        size=file["size"],
        sha256=file["sha256"],
        version=file["version"],
        modified=datetime.fromisoformat(file["updated_at"]),
        label=f"file {file['id']}",
        source=BlobSource(store, file["path"], file["size"]),
        blob=file["path"],
    )
