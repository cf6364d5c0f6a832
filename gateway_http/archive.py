"""Several files as one ZIP, made while it is sent: nothing is kept, neither on disk nor in memory."""

from __future__ import annotations

import unicodedata
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, count
from pathlib import PurePosixPath
from typing import Any

from werkzeug.wrappers import Response
from zipstream import ZipStream, ZipStreamInfo

from docsave_services.contracts import File
from docsave_services.storage import BlobStore, blob_key
from gateway_http.blob_access import in_thread
from gateway_http.content_disposition import attachment
from gateway_http.download import DOWNLOAD_HEADERS
from gateway_http.limits import ARCHIVE_PIECE_BYTES
from gateway_http.outflow import Outflow
from gateway_http.request import GatewayRequest

_READABLE_BY_OWNER = 0o600 << 16


@dataclass(frozen=True, slots=True)
class Member:
    """What an archive needs to know of a file; ten thousand of them are held at once. ``size`` in bytes."""

    file_id: int
    folder: str
    name: str
    size: int
    sha256: str
    modified: datetime

    @classmethod
    def of(cls, file: File) -> Member:
        """The current version of ``file``."""
        modified = datetime.fromisoformat(file["updated_at"])
        return cls(file["id"], file["folder"], file["name"], file["size"], file["sha256"], modified)


def archive_response(request: GatewayRequest, store: BlobStore, members: Sequence[Member], name: str) -> Response:
    """A ZIP called ``name`` of ``members``, for HEAD its headers alone.

    Nothing is compressed: documents mostly are already, and so the length is known. Each content is verified on its
    way; a damaged one breaks the connection, and a ZIP without its end cannot be mistaken for a whole one.
    """
    archive = in_thread(_Archive, store, members)  # ten thousand names take a moment
    headers = {
        "Content-Type": "application/zip",
        "Content-Length": str(archive.size),
        "Content-Disposition": attachment(name),
        "Accept-Ranges": "none",
        **DOWNLOAD_HEADERS,
    }
    if request.method == "HEAD":
        return Response(headers=headers)
    return Outflow(archive.pieces(), lambda: archive.at).response(200, headers)


class _Archive:
    """The ZIP of some files. ``at`` says which of them is being read, for the log."""

    def __init__(self, store: BlobStore, members: Sequence[Member]) -> None:
        self.at = "archive"
        self._zip = _DatedZip(sized=True)
        for member, name in zip(members, entry_names(members), strict=True):
            self._zip.dates[name] = member.modified
            self._zip.add(self._content(store, member), name, size=member.size)
        self.size = len(self._zip)

    def _content(self, store: BlobStore, member: Member) -> Iterator[bytes]:
        self.at = f"file {member.file_id}, sha256 {member.sha256}"
        yield from store.read_verified(blob_key(member.sha256), member.size)

    def pieces(self) -> Generator[bytes, None, None]:
        """The bytes of the ZIP. Blocks; small pieces are gathered, so that each is worth its call to a thread."""
        gathered: list[bytes] = []
        waiting = 0
        for piece in self._zip:
            gathered.append(piece)
            waiting += len(piece)
            if waiting >= ARCHIVE_PIECE_BYTES:
                yield b"".join(gathered)
                gathered, waiting = [], 0
        yield b"".join(gathered)


class _DatedZip(ZipStream):
    """A ``ZipStream`` whose entries have the times in ``dates``, by name. The library gives them the current one.

    Times in a ZIP have no zone; these are UTC.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dates: dict[str, datetime] = {}

    def _gen_file_entry(self, *, iterable: Iterable[bytes], size: int, arcname: str, **_: Any) -> Iterator[bytes]:
        entry = ZipStreamInfo(arcname, self.dates[arcname].astimezone(UTC).timetuple()[:6])
        entry.external_attr = _READABLE_BY_OWNER
        entry.file_size = size
        entry.header_offset = self._pos
        for piece in entry._file_data(iterable):
            yield self._track(piece)
        self._filelist.append(entry)


def archive_name(folder: str | None) -> str:
    """What the ZIP of that folder, or of chosen files, is called."""
    return f"{folder.rpartition('/')[2]}.zip" if folder else "documents.zip"


def entry_names(members: Sequence[Member]) -> list[str]:
    """``folder/name`` for each, exact, but no two alike: the second ``a.txt`` is ``a (2).txt``.

    Alike is what an unpacker's file system may take for the same: names that differ in case or in the composition of
    their characters, and a file that is called as a folder.
    """
    taken = {_key(folder) for member in members for folder in _with_parents(member.folder)}
    following: dict[str, Iterator[int]] = {}
    names = []
    for member in members:
        name = _join(member.folder, member.name)
        numbers = following.setdefault(_key(name), count(2))
        while _key(name) in taken:
            name = _join(member.folder, _numbered(member.name, next(numbers)))
        taken.add(_key(name))
        names.append(name)
    return names


def _with_parents(folder: str) -> Iterable[str]:
    return accumulate(folder.split("/"), "{}/{}".format) if folder else ()


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _numbered(name: str, number: int) -> str:
    ending = PurePosixPath(name).suffix
    return f"{name.removesuffix(ending)} ({number}){ending}"


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
