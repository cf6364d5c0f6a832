"""An unfinished upload in the hands of one process: bytes are added, and in the end it becomes a blob."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from docsave_services.errors import BlobMissing
from docsave_services.storage.blobs import BlobStore, blob_key
from docsave_services.storage.durable import fsync_directory, write_file
from docsave_services.storage.upload_files import (
    CONTENT,
    STATE,
    WANTED,
    UploadState,
    last_change,
    read_state,
    remove_upload,
)


class HeldUpload:
    """An upload that nobody else may change until ``release``. ``offset`` counts the bytes that it has."""

    def __init__(self, path: Path, lock: int, done: Path) -> None:
        self.id = path.name
        self.wanted = path / WANTED
        self._path = path
        self._lock = lock
        self._done = done
        self._content = -1
        self.state = read_state(path / STATE)
        self.offset = self._size()

    @property
    def complete(self) -> bool:
        """Whether all announced bytes are there."""
        return self.state.sha256 is not None or self.offset == self.state.length

    @property
    def content(self) -> Path:
        """The bytes so far."""
        return self._path / CONTENT

    def recover(self) -> None:
        """Throw away a piece that a crash left unverified, and make sure that all the others are on disk."""
        if self.state.unverified_from is not None:
            self.roll_back(self.state.unverified_from)
        elif self.state.sha256 is None:
            self.sync()

    def expires_at(self, life_seconds: float) -> float:
        """When it will have been left alone for ``life_seconds``, in seconds since 1970."""
        return last_change(self._path) + life_seconds

    def save(self, state: UploadState) -> None:
        """Make another state durable."""
        write_file(self._path / STATE, json.dumps(asdict(state), ensure_ascii=False).encode())
        self.state = state

    def append(self, pieces: Iterable[bytes]) -> None:
        """Add ``pieces`` at the end. They are durable after ``sync``."""
        if self._content < 0:
            self._content = os.open(self.content, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        for piece in pieces:
            view = memoryview(piece)
            while view:
                written = os.write(self._content, view)
                self.offset += written
                view = view[written:]

    def sync(self) -> None:
        """Make the bytes durable. When that fails nobody knows which are: then the upload is over."""
        if self._content < 0:
            self._content = os.open(self.content, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.fsync(self._content)
        except OSError:
            self.discard()
            raise

    def roll_back(self, offset: int) -> None:
        """Forget the bytes from ``offset`` on."""
        os.truncate(self.content, offset)
        self.offset = offset
        self.sync()
        if self.state.unverified_from is not None:
            self.save(replace(self.state, unverified_from=None))

    def move_into(self, store: BlobStore) -> str:
        """Make the content the blob that ``state.sha256`` names and give its key. Repeating it is harmless.

        ``BlobMissing`` when an earlier call moved it and it has been swept since: nobody asked for too long.
        """
        sha256, size = self.state.sha256, self.state.length
        if sha256 is None or size is None:
            raise BlobMissing
        self.close_content()
        if self.content.exists():
            self.content.chmod(0o440)
            store.adopt(self.content, sha256, size)
            self.content.unlink(missing_ok=True)
        else:
            store.reuse(blob_key(sha256))
        return blob_key(sha256)

    def finish(self) -> None:
        """Put the upload among the finished ones. ``state.file_id`` is set and durable; repeating it is harmless."""
        self._done.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (self._path / STATE).rename(self._done)
        fsync_directory(self._done.parent)
        remove_upload(self._path)

    def discard(self) -> None:
        """Remove the upload with all its bytes."""
        remove_upload(self._path)
        fsync_directory(self._path.parent)

    def release(self) -> None:
        """Let others have it."""
        self.close_content()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _size(self) -> int:
        try:
            return self.content.stat().st_size
        except FileNotFoundError:
            return self.state.length or 0  # moved into the store already

    def close_content(self) -> None:
        """Give the descriptor back; the next ``append`` opens another."""
        if self._content >= 0:
            os.close(self._content)
            self._content = -1
