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
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from docsave_services.errors import BlobMissing, NotFound, UploadExpired
from docsave_services.log import get_logger
from docsave_services.storage.blobs import BlobStore, blob_key
from docsave_services.storage.durable import DurableDirectories, fsync_directory, write_file

_log = get_logger(__name__)

UPLOADS = "uploads"
"""The directory in the blob store; no blob has a key that begins so."""

SWEEP_SECONDS = 5.0
"""A sweep stops looking after this long; the next one goes on."""

_ID = re.compile(r"[0-9a-f]{32}")
_USER = re.compile(r"[1-9][0-9]{0,17}")
_STATE, _CONTENT, _WANTED = "state.json", "content", "wanted"


@dataclass(frozen=True, slots=True)
class UploadState:
    """What is known of an upload beside its bytes. The later fields are filled one after the other while finishing.

    ``length`` in bytes is None while the client has not said it. ``metadata`` is the client's header as it came.
    ``unverified_from`` is where a piece begins whose checksum has not been compared: after a crash it goes.
    """

    length: int | None
    metadata: str
    name: str
    folder: str | None = None
    labels: dict[str, str] | None = None
    unverified_from: int | None = None
    sha256: str | None = None
    media_type: str | None = None
    change_key: str | None = None
    file_id: int | None = None


@dataclass(frozen=True, slots=True)
class OpenUploads:
    """How many unfinished uploads a user has, and the bytes they will have (those that have come, where no length
    was announced)."""

    count: int
    size: int


class HeldUpload:
    """An upload that nobody else may change until ``release``. ``offset`` counts the bytes that it has."""

    def __init__(self, path: Path, lock: int, done: Path) -> None:
        self.id = path.name
        self.wanted = path / _WANTED
        self._path = path
        self._lock = lock
        self._done = done
        self._content = -1
        self.state = _read_state(path / _STATE)
        self.offset = self._size()

    @property
    def complete(self) -> bool:
        """Whether all announced bytes are there."""
        return self.state.sha256 is not None or self.offset == self.state.length

    @property
    def content(self) -> Path:
        """The bytes so far."""
        return self._path / _CONTENT

    def recover(self) -> None:
        """Throw away a piece that a crash left unverified, and make sure that all the others are on disk."""
        if self.state.unverified_from is not None:
            self.roll_back(self.state.unverified_from)
        elif self.state.sha256 is None:
            self.sync()

    def expires_at(self, life_seconds: float) -> float:
        """When it will have been left alone for ``life_seconds``, in seconds since 1970."""
        return _last_change(self._path) + life_seconds

    def save(self, state: UploadState) -> None:
        """Make another state durable."""
        write_file(self._path / _STATE, json.dumps(asdict(state), ensure_ascii=False).encode())
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
            (self._path / _STATE).rename(self._done)
        fsync_directory(self._done.parent)
        _remove_directory(self._path)

    def discard(self) -> None:
        """Remove the upload with all its bytes."""
        _remove_directory(self._path)
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
            os.close(os.open(path / _CONTENT, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
            write_file(path / _STATE, json.dumps(asdict(state), ensure_ascii=False).encode())
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
            if _try_lock(lock):
                held = self._held(path, lock, user_id)
            else:
                _touch(path / _WANTED)
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
        return _read_state(path)

    def forget_finished(self, user_id: int, upload_id: str) -> None:
        """Remove the memory of a finished upload; its file stays. ``NotFound`` when there is none."""
        self.finished(user_id, upload_id)
        self._done(user_id, upload_id).unlink(missing_ok=True)

    def of_user(self, user_id: int) -> OpenUploads:
        """How much a user has under way."""
        count = size = 0
        for path in _entries(self._root / "open" / str(user_id)):
            with contextlib.suppress(NotFound, FileNotFoundError):
                length = _read_state(path / _STATE).length
                size += (path / _CONTENT).stat().st_size if length is None else length
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


def promised_blobs(store: BlobStore) -> frozenset[str]:
    """The keys of blobs that unfinished uploads have become, and that their files are yet to name."""
    keys = set()
    for path in _all_entries(store.root / UPLOADS):
        if path.suffix == ".json" or (path / _CONTENT).exists():
            continue
        with contextlib.suppress(NotFound):  # finished, or swept
            sha256 = _read_state(path / _STATE).sha256
            if sha256 is not None:
                keys.add(blob_key(sha256))
    return frozenset(keys)


def sweep_unfinished(store: BlobStore, life_seconds: float, most: int = 1000, dry_run: bool = False) -> int:
    """Remove uploads that were left alone for ``life_seconds``, and the memory of those that became files so long ago.

    At most ``most`` of them and within ``SWEEP_SECONDS``. One that somebody holds stays. How many went, or would go.
    """
    end, removed = time.monotonic() + SWEEP_SECONDS, 0
    for path in _all_entries(store.root / UPLOADS):
        if removed >= most or time.monotonic() > end:
            break
        try:
            if _last_change(path) + life_seconds < time.time():
                removed += dry_run or _sweep(path, life_seconds)
        except FileNotFoundError:
            pass  # finished, or swept by another process
        except OSError as exc:
            _log.warning("unfinished_upload_not_swept", name=path.name, error=str(exc))
    return removed


def _sweep(path: Path, life_seconds: float) -> bool:
    if path.suffix == ".json":
        path.unlink()
        return True
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _try_lock(lock) or _last_change(path) + life_seconds >= time.time():
            return False
        _remove_directory(path)
        return True
    finally:
        os.close(lock)


def _remove_directory(path: Path) -> None:
    (path / _STATE).unlink(missing_ok=True)  # first: without it there is no upload
    for entry in _entries(path):
        entry.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a waiter has just said that it wants the upload: the sweep takes what is left
        path.rmdir()


def _all_entries(root: Path) -> Iterator[Path]:
    for kind in ("open", "done"):
        for user in _entries(root / kind):
            if _USER.fullmatch(user.name):
                yield from _entries(user)


def _entries(directory: Path) -> Iterator[Path]:
    """What is in ``directory``, nothing when it is not there."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                yield Path(entry.path)
    except FileNotFoundError:
        return


def _last_change(path: Path) -> float:
    """When the newest of an upload's files was written; of the directory itself when it has none."""
    moments = []
    for name in (_STATE, _CONTENT) if path.suffix != ".json" else ():
        with contextlib.suppress(FileNotFoundError):
            moments.append((path / name).stat().st_mtime)
    return max(moments) if moments else path.stat().st_mtime


def _read_state(path: Path) -> UploadState:
    try:
        return UploadState(**json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFound from exc
    except (ValueError, TypeError) as exc:
        _log.error("upload_state_unreadable", upload=path.parent.name)
        raise NotFound from exc


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):  # the upload is gone, or the disk is full: then there is only waiting
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
