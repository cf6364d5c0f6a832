"""A history directory of the same form as the server's backup: one entry a version, written once, never changed.

``history/<user>/<file>/`` has ``v000001_<time>_<name>`` with the bytes, a hard link into ``objects/`` where the file
system has links, and ``v000001.json`` with the event, written last: it makes the entry complete.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from docsave_client.archive_names import content_name, content_prefix, json_name
from docsave_client.durable import fsync_directory, fsync_file, make_directories, write_atomically
from docsave_client.errors import ClientError
from docsave_client.types import Event

READ_ONLY = 0o444
DIRECTORY_MODE = 0o750
DELETED = "File_delete"

_TYPES = ("File_create", "File_update", DELETED)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_IDENTITY = ("event_id", "type", "id", "user_id", "name", "size", "sha256", "version", "at", "folder", "labels")
_NO_LINK = frozenset({errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES})

Fetch = Callable[[Path], None]
"""Brings an event's content into a file: all of it, with the right hash, durable."""


class EntryConflict(ClientError):
    """Something else is in an entry's place. It stays."""


class Archive:
    """Entries below ``root``, written by this process alone. ``ClientError`` when another one mirrors there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / "incoming"
        make_directories(self._incoming, DIRECTORY_MODE)
        self._lock = (root / "mirror.lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            self.close()
            raise ClientError(f"another process mirrors into {root}") from exc
        self._clear()

    def close(self) -> None:
        """Let others mirror there."""
        self._lock.close()

    def has(self, event: Event) -> bool:
        """Whether the event's entry is complete. ``EntryConflict`` when it holds another event or content."""
        directory = self._directory(event)
        try:
            found: Any = json.loads((directory / json_name(event["version"])).read_bytes())
        except FileNotFoundError:
            return False
        except ValueError as exc:
            raise EntryConflict(f"{directory / json_name(event['version'])} cannot be read") from exc
        if not isinstance(found, dict) or any(found.get(key) != cast(Any, event).get(key) for key in _IDENTITY):
            raise EntryConflict(f"{directory / json_name(event['version'])} holds another event")
        return event["type"] == DELETED or self._content(directory, event) is not None

    def add(self, event: Event, fetch: Fetch) -> None:
        """Make the event's entry complete and durable; ``fetch`` is asked only for content that is not here yet."""
        _validate(event)
        directory = self._directory(event)
        make_directories(directory, DIRECTORY_MODE)
        if event["type"] != DELETED and self._content(directory, event) is None:
            self._place(event, directory / content_name(event["version"], event["at"], event["name"]), fetch)
        described = directory / json_name(event["version"])
        if not described.exists():
            write_atomically(described, event_json(event), READ_ONLY, self._incoming)

    def _clear(self) -> None:
        """Remove what a kill left behind; what has arrived of a content is gone on with."""
        for path in self._incoming.iterdir():
            if path.suffix != ".part":
                path.unlink()

    def _directory(self, event: Event) -> Path:
        return self.root / "history" / str(event["user_id"]) / str(event["id"])

    def _content(self, directory: Path, event: Event) -> Path | None:
        """The entry's content; ``EntryConflict`` when it is another one, or damaged."""
        prefix = content_prefix(event["version"])
        names = [entry.name for entry in os.scandir(directory) if entry.name.startswith(prefix)]
        if not names:
            return None
        wanted = directory / content_name(event["version"], event["at"], event["name"])
        if names != [wanted.name] or not _has_content(wanted, event):
            raise EntryConflict(f"{directory}: version {event['version']} has another content")
        return wanted

    def _place(self, event: Event, target: Path, fetch: Fetch) -> None:
        item = self._object(event, fetch)
        try:
            os.link(item, target)
        except OSError as exc:
            if exc.errno not in _NO_LINK:
                raise
            temporary = self._incoming / f"{uuid.uuid4().hex}.copy"
            shutil.copyfile(item, temporary)
            temporary.chmod(READ_ONLY)
            fsync_file(temporary)
            temporary.replace(target)
        fsync_directory(target.parent)

    def _object(self, event: Event, fetch: Fetch) -> Path:
        sha256 = event["sha256"]
        item = self.root / "objects" / sha256[:2] / sha256[2:4] / sha256
        if item.exists():
            if _has_content(item, event):
                return item
            item.replace(item.with_name(f"{sha256}.damaged-{uuid.uuid4().hex[:8]}"))
        part = self._incoming / f"{sha256}.part"
        fetch(part)
        part.chmod(READ_ONLY)
        fsync_file(part)
        make_directories(item.parent, DIRECTORY_MODE)
        part.replace(item)
        fsync_directory(item.parent)
        return item


def event_json(event: Event) -> bytes:
    """The event as a person reads it."""
    return (json.dumps(event, indent=2, ensure_ascii=False) + "\n").encode()


def _has_content(path: Path, event: Event) -> bool:
    if path.stat().st_size != event["size"]:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == event["sha256"]


def _validate(event: Mapping[str, Any]) -> None:
    """Nothing in an event may lead out of the directory, whoever sent it."""
    numbers = [event.get(key) for key in ("event_id", "id", "user_id", "version", "size")]
    texts = [event.get(key) for key in ("name", "at", "sha256")]
    good = all(type(number) is int and number >= 0 for number in numbers) and all(type(text) is str for text in texts)
    if not good or event.get("type") not in _TYPES or not _SHA256.fullmatch(event["sha256"]):
        raise ClientError("the server sent an event that is none")
    try:
        content_name(event["version"], event["at"], event["name"])
    except ValueError as exc:
        raise ClientError("the server sent an event with a time that is none") from exc
