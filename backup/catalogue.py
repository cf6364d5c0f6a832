"""Reading the history: which versions there are, from the directory alone. Blocking: call it in a thread."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backup.content import open_unpacked
from backup.history import HISTORY, validate
from backup.layout import Layout
from backup.names import json_name
from docsave_services.contracts import (
    FILE_DELETE,
    VERSIONS_LIMIT_MAX,
    FileEvent,
    StoredVersion,
    Version,
    VersionPage,
)
from docsave_services.errors import BlobDamaged, NotFound
from docsave_services.storage.patches import Layers

UNKNOWN_FILE = "the backup has no version of this file"


@dataclass(frozen=True, slots=True)
class Entry:
    """One complete entry. ``event`` is None when its JSON cannot be read; ``content`` is None when it is missing.

    ``content`` may be a patch: read it through ``open`` or ``layers``. ``thinned``: a rule of retention gave it up.
    """

    file_id: int
    version: int
    path: Path
    event: FileEvent | None
    content: Path | None
    thinned: bool
    layout: Layout = field(repr=False, compare=False)

    @property
    def has_content(self) -> bool:
        """Whether there should be content: a deletion has none, nor what was thinned."""
        return not self.thinned and (self.event is None or self.event["type"] != FILE_DELETE)

    @property
    def is_own(self) -> bool:
        """Whether the event is this entry's."""
        return self.event is not None and (self.event["id"], self.event["version"]) == (self.file_id, self.version)

    def layers(self) -> Layers:
        """How to read the content, plain or not. ``BlobDamaged`` when a patch leads nowhere."""
        return self.layout.layers(self.version)

    def open(self, scratch: Path | None = None) -> int:
        """A descriptor for reading the exact bytes, plain or not. They are compared with nothing; as ``layers``.

        Unpacked content lies in ``scratch`` meanwhile, without a name.
        """
        try:
            return open_unpacked(self.layers(), scratch)
        except FileNotFoundError:  # compaction was faster than we: it lies otherwise now
            return open_unpacked(Layout(self.layout.directory).layers(self.version), scratch)


def file_directories(root: Path) -> Iterator[tuple[int, Path]]:
    """Every file's id and directory, ordered by user and file."""
    for user in _numbered(root / HISTORY):
        for directory in _numbered(user):
            yield int(directory.name), directory


def entries_of(file_id: int, directory: Path) -> list[Entry]:
    """The complete entries in a file's directory, oldest first. One without its JSON is not complete yet."""
    layout = Layout(directory)
    return [_entry(file_id, version, layout) for version in layout.versions]


def _entry(file_id: int, version: int, layout: Layout) -> Entry:
    path = layout.directory / json_name(version)
    thinned = layout.is_thinned(version)
    content = None if thinned else layout.plain(version) or layout.packed(version)
    return Entry(file_id, version, path, _read_event(path), content, thinned, layout)


def newest_entry(file_id: int, directory: Path, place: int | None = None) -> tuple[Entry | None, list[int]]:
    """The newest entry of a file among those up to the event ``place``, and the newer versions that cannot be read."""
    layout = Layout(directory)
    unreadable: list[int] = []
    for version in reversed(layout.versions):
        entry = _entry(file_id, version, layout)
        if entry.event is None or not entry.is_own:
            unreadable.append(version)
        elif place is None or entry.event["event_id"] <= place:
            return entry, unreadable
    return None, unreadable


def version_entry(file_id: int, directory: Path, version: int) -> tuple[Entry | None, list[int]]:
    """One version of a file; None when there is none. As ``newest_entry``."""
    layout = Layout(directory)
    if version not in layout.versions:
        return None, []
    entry = _entry(file_id, version, layout)
    return (entry, []) if entry.is_own else (None, [version])


def entry_at(root: Path, user_id: int, file_id: int, version: int) -> Entry:
    """What there is of one entry, complete or not."""
    return _entry(file_id, version, Layout(root / HISTORY / str(user_id) / str(file_id)))


def versions_of(root: Path, file_id: int, before: int | None = None, limit: int = VERSIONS_LIMIT_MAX) -> VersionPage:
    """A page of a file's versions, only those below ``before``. ``NotFound`` for a file without any.

    A version whose event cannot be read is left out; ``verify`` names it.
    """
    layout = Layout(_directory_of(root, file_id))
    if not layout.versions:
        raise NotFound(UNKNOWN_FILE)
    numbers = [number for number in reversed(layout.versions) if before is None or number < before]
    shown = (_shown_of(layout, file_id, number) for number in numbers[:limit])
    return {
        "items": [version for version in shown if version is not None],
        "next": numbers[limit - 1] if len(numbers) > limit else None,
    }


def version_of(root: Path, file_id: int, version: int) -> StoredVersion:
    """One version. ``NotFound`` when there is no such entry, ``BlobDamaged`` when its event cannot be read."""
    event = entry_in_history(root, file_id, version)
    layout = Layout(_directory_of(root, file_id))
    way = [] if event["type"] == FILE_DELETE or layout.is_thinned(version) else layout.way(version)
    names = [path.relative_to(root).as_posix() for path in way]
    plain = names.pop(0) if way and layout.is_plain(way[0]) else None
    stored: StoredVersion = {**_shown_with(event, layout), "user_id": event["user_id"], "path": plain}  # type: ignore[typeddict-item]
    return {**stored, "patches": names} if names else stored


def entry_in_history(root: Path, file_id: int, version: int) -> FileEvent:
    """What the entry of a version holds. ``NotFound`` and ``BlobDamaged`` as ``version_of``."""
    directory = _directory_of(root, file_id)
    if not os.path.lexists(directory / json_name(version)):
        raise NotFound("the backup has no such version of this file")
    event = _event_of(directory, file_id, version)
    if event is None:
        raise BlobDamaged("The entry of this version in the backup cannot be read")
    return event


def _directory_of(root: Path, file_id: int) -> Path:
    """A file's directory. File ids are unique, so only the users' directories are looked through, not their files."""
    for user in _numbered(root / HISTORY):
        directory = user / str(file_id)
        if directory.is_dir():
            return directory
    raise NotFound(UNKNOWN_FILE)


def _event_of(directory: Path, file_id: int, version: int) -> FileEvent | None:
    """The event of an entry, if it can be read and is that entry's."""
    event = _read_event(directory / json_name(version))
    return event if event and (event["id"], event["version"]) == (file_id, version) else None


def _shown_of(layout: Layout, file_id: int, version: int) -> Version | None:
    event = _event_of(layout.directory, file_id, version)
    return _shown_with(event, layout) if event else None


def _shown_with(event: FileEvent, layout: Layout) -> Version:
    shown = _shown(event)
    return {**shown, "thinned": True} if layout.is_thinned(event["version"]) else shown


def _numbered(directory: Path) -> Iterator[Path]:
    """Subdirectories whose names are numbers, in their order. A path is made when its turn comes: an account may have a
    million files, and paths of all at once would take several times what their names do."""
    try:
        names = [entry.name for entry in os.scandir(directory) if entry.name.isascii() and entry.name.isdigit()]
    except FileNotFoundError:
        return
    for name in sorted(names, key=int):
        yield directory / name


def _read_event(path: Path) -> FileEvent | None:
    try:
        event: Any = json.loads(path.read_bytes())
        validate(event)
    except Exception:  # whatever is wrong with it: the caller says that it cannot be read
        return None
    return event  # type: ignore[no-any-return]


def _shown(event: FileEvent) -> Version:
    shown: Version = {
        "version": event["version"],
        "event": event["type"],
        "name": event["name"],
        "size": event["size"],
        "sha256": event["sha256"],
        "at": event["at"],
    }
    later = ("media_type", "folder", "labels", "by", "permanent")
    shown.update({key: event[key] for key in later if key in event})  # type: ignore[literal-required, typeddict-item]
    return shown
