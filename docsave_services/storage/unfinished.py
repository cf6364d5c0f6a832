"""Uploads that arrive in parts, over days and connections, until they are whole (tus 1.0.0).

Under ``uploads/`` in the blob store, so that a finished one becomes a blob by a rename::

    open/<user id>/<upload id>/state.json   what was announced, and how far finishing has come
    open/<user id>/<upload id>/content      the bytes so far; its size is the offset
    open/<user id>/<upload id>/wanted       there while somebody waits for the one who holds the upload
    done/<user id>/<upload id>.json         the state of an upload that has become a file

Several processes may share it. Whoever changes an upload holds a lock (flock) on its directory, which the kernel
takes back from a process that dies. Everything here blocks: services call it through ``eventlet.tpool``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from docsave_services.errors import NotFound, UploadExpired
from docsave_services.storage.blobs import BlobStore
from docsave_services.storage.durable import DurableDirectories, fsync_directory, write_file
from docsave_services.storage.held_upload import HeldUpload
from docsave_services.storage.upload_files import CONTENT, STATE, WANTED, UploadState, entries, read_state, try_lock

UPLOADS = "uploads"
"""The directory in the blob store; no blob has a key that begins so."""

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class OpenUploads:
    """How many unfinished uploads a user has, and the bytes they will have (those that have come, where no length
    was announced)."""

    count: int
    size: int


class UnfinishedUploads:
    """The uploads of all users in ``store``; each ends ``life_seconds`` after its last byte."""

    def __init__(self, store: BlobStore, life_seconds: float) -> None:
        self.life_seconds = life_seconds
        self._root = store.root / UPLOADS
        self._directories = DurableDirectories(store.root)

    def create(self, user_id: int, state: UploadState) -> HeldUpload:
        """A new, empty upload, held by the caller and durable."""
        parent, done = self._root / "open" / str(user_id), self._root / "done" / str(user_id)
        self._directories.make(parent)
        self._directories.make(done)
        path = parent / uuid.uuid4().hex
        path.mkdir(mode=0o750)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(os.open(path / CONTENT, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
            write_file(path / STATE, json.dumps(asdict(state), ensure_ascii=False).encode())
            fsync_directory(parent)
            return HeldUpload(path, lock, done / f"{path.name}.json")
        except BaseException:
            os.close(lock)
            raise

    def hold(self, user_id: int, upload_id: str) -> HeldUpload | None:
        """The upload, held by the caller; None while somebody else holds it, who is told that it is wanted.

        ``NotFound`` when there is none, ``UploadExpired`` when it was left alone for too long.
        """
        path = self._path(user_id, upload_id)
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as exc:
            raise NotFound from exc
        held = None
        try:
            if try_lock(lock):
                held = self._held(path, lock, user_id)
            else:
                _touch(path / WANTED)
        finally:
            if held is None:
                os.close(lock)
        return held

    def finished(self, user_id: int, upload_id: str) -> UploadState:
        """The state of an upload that has become a file; ``NotFound`` when there is none."""
        path = self._done(user_id, upload_id)
        try:
            if path.stat().st_mtime + self.life_seconds < time.time():
                raise UploadExpired
        except FileNotFoundError as exc:
            raise NotFound from exc
        return read_state(path)

    def forget_finished(self, user_id: int, upload_id: str) -> None:
        """Remove the memory of a finished upload; its file stays. ``NotFound`` when there is none."""
        self.finished(user_id, upload_id)
        self._done(user_id, upload_id).unlink(missing_ok=True)

    def of_user(self, user_id: int) -> OpenUploads:
        """How much a user has under way."""
        count = size = 0
        for path in entries(self._root / "open" / str(user_id)):
            with contextlib.suppress(NotFound, FileNotFoundError):
                length = read_state(path / STATE).length
                size += (path / CONTENT).stat().st_size if length is None else length
                count += 1
        return OpenUploads(count, size)

    def _held(self, path: Path, lock: int, user_id: int) -> HeldUpload:
        held = HeldUpload(path, lock, self._done(user_id, path.name))
        if held.expires_at(self.life_seconds) < time.time():
            raise UploadExpired
        try:
            held.wanted.unlink(missing_ok=True)
            held.recover()
        except BaseException:
            held.close_content()
            raise
        return held

    def _path(self, user_id: int, upload_id: str) -> Path:
        if not _ID.fullmatch(upload_id):
            raise NotFound
        return self._root / "open" / str(user_id) / upload_id

    def _done(self, user_id: int, upload_id: str) -> Path:
        if not _ID.fullmatch(upload_id):
            raise NotFound
        return self._root / "done" / str(user_id) / f"{upload_id}.json"


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):  # the upload is gone, or the disk is full: then there is only waiting
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
