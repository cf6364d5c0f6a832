"""The history: one entry per version of a file, written once and never changed.

``history/<user_id>/<file_id>/`` holds ``v000001_<time>_<name>`` with the exact bytes, a hard link into
``objects/ab/cd/<sha256>`` where the file system has links, and ``v000001.json`` with the event. The JSON is written
last and makes the entry complete, so a crash at any point leaves an entry that is whole or one that is written again.
One process writes at a time (see ``home``). Everything here blocks and touches nothing green: call it in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from backup.chain import IDENTITY, leaf
from backup.content import NO_LINK_ERRORS, READ_ONLY, Source, gives, holds, matches, never, place_content, set_aside
from backup.errors import EntryConflict, MalformedEvent
from backup.layout import Layout
from backup.names import COMPACTED_SUFFIX, content_name, content_prefix, json_name
from docsave_services.contracts import FILE_DELETE, FILE_EVENT_TYPES, FileEvent
from docsave_services.errors import BlobMissing
from docsave_services.storage import blob_key
from docsave_services.storage.durable import (
    DurableDirectories,
    fsync_directory,
    is_left_behind,
    temporary_beside,
    write_file,
)

HISTORY = "history"
OBJECTS = "objects"
DIRECTORY_MODE = 0o750

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LATER = ("folder", "labels", "permanent")
"""Fields that entries of the first release lack; where an entry has one, it is part of the change."""


@dataclass(frozen=True, slots=True)
class Written:
    """What ``write`` did: ``repeated`` when the entry was already complete; ``set_aside`` names a damaged file;
    ``leaf`` is the entry's in the chain."""

    repeated: bool
    set_aside: str | None = None
    leaf: bytes = b""


class Contents(Protocol):
    """What content is copied from."""

    def open(self, key: str) -> int:
        """A descriptor for reading; ``BlobMissing`` when there is nothing of that key."""


class History:
    """Writes entries under ``root``. ``check`` is asked before each and raises when ``root`` may not be written."""

    def __init__(self, root: Path, blobs: Contents, check: Callable[[], None] = lambda: None) -> None:
        self.root = root
        self._blobs = blobs
        self._check = check
        self._directories = DurableDirectories(root, DIRECTORY_MODE)
        self._links: bool | None = None

    def write(self, event: FileEvent, cancelled: Callable[[], bool] = never) -> Written:
        """Make the event's entry complete and durable. A repeat is harmless.

        Raises ``EntryConflict`` when another content is in its place (it stays), ``BlobMissing`` or ``BlobDamaged``
        when the store cannot give the content, ``OSError`` from the disk. Concurrent calls must not share a
        ``sha256``.
        """
        validate(event)
        self._check()
        directory = self.directory_for(event)
        self._directories.make(directory)
        description = directory / json_name(event["version"])
        found, aside = self._description(description, event)
        if event["type"] != FILE_DELETE:
            aside = self._ensure_content(directory, event, cancelled) or aside
        if found is None:
            write_file(description, event_json(event), READ_ONLY)  # makes the content's name durable, too
        else:
            fsync_directory(directory)  # a killed predecessor may not have come to it
        return Written(repeated=found is not None, set_aside=aside, leaf=leaf(found or event))

    def directory_for(self, event: FileEvent) -> Path:
        """Where the entries of the event's file lie."""
        return self.root / HISTORY / str(event["user_id"]) / str(event["id"])

    def restore_content(
        self, event: FileEvent, cancelled: Callable[[], bool] = never, opener: Callable[[], int] | None = None
    ) -> str | None:
        """Make the content of an entry anew, from the object or the blob store, or what ``opener`` opens; the damaged
        one is set aside, and its new path is returned. Raises as ``write`` does."""
        self._check()
        directory = self.directory_for(event)
        aside = None
        for name in _content_present(directory, event["version"]):
            aside = set_aside(directory / name, self.root)
        target = directory / content_name(event["version"], event["at"], event["name"])
        aside = self._place(event, target, cancelled, opener) or aside
        fsync_directory(directory)
        return aside

    def has_source(self, event: FileEvent, cancelled: Callable[[], bool] = never) -> bool:
        """Whether ``restore_content`` has something whole to make it from."""
        with contextlib.suppress(OSError):
            if matches(self.root / OBJECTS / blob_key(event["sha256"]), event["sha256"], event["size"], cancelled):
                return True
        with contextlib.suppress(OSError, BlobMissing), io.FileIO(self._blobs.open(event["path"])) as blob:
            return holds(blob, event["sha256"], event["size"], cancelled)
        return False

    def restore_description(self, event: FileEvent) -> str | None:
        """Put the entry's JSON in its place; what was there is set aside, and its new path is returned."""
        self._check()
        directory = self.directory_for(event)
        self._directories.make(directory)
        description = directory / json_name(event["version"])
        aside = set_aside(description, self.root) if os.path.lexists(description) else None
        write_file(description, event_json(event), READ_ONLY)
        return aside

    def sweep(self, cancelled: Callable[[], bool] = never) -> int:
        """Remove the temporary files that killed processes left; how many. Only for the process that may write."""
        swept = 0
        for directory, _, names in os.walk(self.root):
            if cancelled():
                break
            for name in filter(is_left_behind, names):
                Path(directory, name).unlink(missing_ok=True)
                swept += 1
        return swept

    def _description(self, path: Path, event: FileEvent) -> tuple[Mapping[str, Any] | None, str | None]:
        """The entry's JSON if it is there; ``EntryConflict`` when another event's is.

        One that is not JSON was torn by a crash of the system: it is set aside, and its new path is returned.
        """
        try:
            found: Any = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None, None
        except ValueError:
            return None, set_aside(path, self.root)
        if not isinstance(found, dict) or not _is_same_change(found, event):
            raise EntryConflict(f"{path.name} holds another event")
        return found, None

    def _ensure_content(self, directory: Path, event: FileEvent, cancelled: Callable[[], bool]) -> str | None:
        target = directory / content_name(event["version"], event["at"], event["name"])
        layout = Layout(directory)
        if layout.is_thinned(event["version"]):
            return None
        if layout.packed(event["version"]):
            self._require_patch(layout, event, cancelled)
            return None
        present = [name for name in layout.files(event["version"]) if name != target.name + COMPACTED_SUFFIX]
        if present:
            if present != [target.name]:
                raise EntryConflict(f"version {event['version']} has other content: {', '.join(present)}")
            if not matches(target, event["sha256"], event["size"], cancelled):
                raise EntryConflict(f"the copy of version {event['version']} is not the journal's content")
            return None
        return self._place(event, target, cancelled)

    def _require_patch(self, layout: Layout, event: FileEvent, cancelled: Callable[[], bool]) -> None:
        if not gives(lambda: layout.layers(event["version"]), event["sha256"], event["size"], cancelled):
            raise EntryConflict(f"the patch of version {event['version']} does not give the journal's content")

    def _place(
        self,
        event: FileEvent,
        target: Path,
        cancelled: Callable[[], bool],
        opener: Callable[[], int] | None = None,
    ) -> str | None:
        source = Source(opener or (lambda: self._blobs.open(event["path"])), event["sha256"], event["size"])
        if not self._links_work(target.parent):
            place_content(source, target, cancelled)
            return None
        item, aside = self._ensure_object(source, cancelled)
        try:
            os.link(item, target)
        except OSError as exc:
            # ENOENT: compaction of another version has just removed the object.
            if exc.errno not in NO_LINK_ERRORS and exc.errno != errno.ENOENT:
                raise
            place_content(source, target, cancelled)
        return aside

    def _ensure_object(self, source: Source, cancelled: Callable[[], bool]) -> tuple[Path, str | None]:
        """The object of that content, whole; and the name under which a damaged one was set aside.

        Its bytes are durable, its name need not be: the entry has its own, and without the object equal content that
        comes later is only kept a second time.
        """
        item = self.root / OBJECTS / blob_key(source.sha256)
        item.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        aside = None
        if os.path.lexists(item):
            if matches(item, source.sha256, source.size, cancelled):
                return item, None
            aside = set_aside(item, self.root)
        place_content(source, item, cancelled)
        return item, aside

    def _links_work(self, directory: Path) -> bool:
        """Whether this file system has hard links, tried once."""
        if self._links is None:
            first, second = temporary_beside(directory / "a"), temporary_beside(directory / "b")
            try:
                first.touch()
                os.link(first, second)
                self._links = True
            except OSError as exc:
                if exc.errno not in NO_LINK_ERRORS:
                    raise
                self._links = False
            finally:
                first.unlink(missing_ok=True)
                second.unlink(missing_ok=True)
        return self._links


def event_json(event: FileEvent) -> bytes:
    """The event as a person reads it; the exact name is in it."""
    try:
        return (json.dumps(event, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # a lone surrogate: escaped, it is still the exact name
        return (json.dumps(event, indent=2) + "\n").encode()


def validate(event: FileEvent) -> None:
    """``MalformedEvent`` for what the journal never holds: nothing in an event may lead out of the directory."""
    whole = all(type(event.get(key)) is int for key in ("event_id", "id", "user_id", "version"))
    if not whole or event["id"] < 0 or event["user_id"] < 0 or event["version"] < 1:
        raise MalformedEvent("ids and version must be whole numbers")
    if event.get("type") not in FILE_EVENT_TYPES or not all(isinstance(event.get(key), str) for key in ("name", "at")):
        raise MalformedEvent("type, name or at is wrong")
    try:
        content_name(event["version"], event["at"], event["name"])
    except ValueError as exc:
        raise MalformedEvent("at is not a time") from exc
    _validate_later_fields(event)
    if event["type"] == FILE_DELETE:
        return
    if not _SHA256.fullmatch(str(event.get("sha256"))) or type(event.get("size")) is not int:
        raise MalformedEvent("sha256 or size is wrong")


def _validate_later_fields(event: Mapping[str, Any]) -> None:
    """Those that an entry of the first release may lack."""
    labels = event.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise MalformedEvent("labels must be texts")
    if not all(isinstance(event.get(key, ""), str) for key in ("folder", "media_type")):
        raise MalformedEvent("folder or media_type is wrong")
    if not isinstance(event.get("permanent", False), bool):
        raise MalformedEvent("permanent is wrong")
    if event.get("permanent") and event["type"] != FILE_DELETE:
        raise MalformedEvent("only a deletion can be permanent")


def _is_same_change(found: Mapping[str, Any], event: FileEvent) -> bool:
    compared = [*IDENTITY, *(key for key in _LATER if key in found)]
    return all(found.get(key) == event.get(key) for key in compared)


def _content_present(directory: Path, version: int) -> list[str]:
    """Names of the content files of that version, whatever else they are called."""
    prefix = content_prefix(version)
    return sorted(entry.name for entry in os.scandir(directory) if entry.name.startswith(prefix))
