"""Reading the history: which versions there are, from the directory alone. Blocking: call it in a thread."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backup.history import HISTORY, validate
from backup.names import content_prefix, json_name, version_of_json
from docsave_services.contracts import (
    FILE_DELETE,
    VERSIONS_LIMIT_MAX,
    FileEvent,
    StoredVersion,
    Version,
    VersionPage,
)
from docsave_services.errors import BlobDamaged, NotFound

UNKNOWN_FILE = "the backup has no version of this file"


@dataclass(frozen=True, slots=True)
class Entry:
    """One complete entry. ``event`` is None when its JSON cannot be read; ``content`` is None when it is missing."""

    file_id: int
    version: int
    path: Path
    event: FileEvent | None
    content: Path | None

    @property
    def has_content(self) -> bool:
        """Whether there should be content: a deletion has none."""
        return self.event is None or self.event["type"] != FILE_DELETE


def file_directories(root: Path) -> Iterator[tuple[int, Path]]:
    """Every file's id and directory, ordered by user and file."""
    for user in _numbered(root / HISTORY):
        for directory in _numbered(user):
            yield int(directory.name), directory


def entries_of(file_id: int, directory: Path) -> list[Entry]:
    """The complete entries in a file's directory, oldest first. One without its JSON is not complete yet."""
    names = sorted(path.name for path in directory.iterdir())
    numbered = sorted((version, name) for name in names if (version := version_of_json(name)) is not None)
    contents = {name.partition("_")[0] + "_": name for name in names if "_" in name and not name.startswith(".")}
    return [
        Entry(file_id, version, directory / name, _read_event(directory / name), _content(directory, contents, version))
        for version, name in numbered
    ]


def newest_entry(file_id: int, directory: Path, place: int | None = None) -> tuple[Entry | None, list[int]]:
    """The newest entry of a file among those up to the event ``place``, and the newer versions that cannot be read."""
    names = {path.name for path in directory.iterdir()}
    unreadable: list[int] = []
    for version in sorted(filter(None, map(version_of_json, names)), reverse=True):
        path = directory / json_name(version)
        event = _event_of(directory, file_id, version)
        if event is None:
            unreadable.append(version)
        elif place is None or event["event_id"] <= place:
            content = sorted(name for name in names if name.startswith(content_prefix(version)))
            return Entry(file_id, version, path, event, directory / content[0] if content else None), unreadable
    return None, unreadable


def entry_at(root: Path, user_id: int, file_id: int, version: int) -> Entry:
    """What there is of one entry, complete or not."""
    directory = root / HISTORY / str(user_id) / str(file_id)
    path = directory / json_name(version)
    content = _content_of(directory, version) if directory.is_dir() else None
    return Entry(file_id, version, path, _read_event(path), content)


def versions_of(root: Path, file_id: int, before: int | None = None, limit: int = VERSIONS_LIMIT_MAX) -> VersionPage:
    """A page of a file's versions, only those below ``before``. ``NotFound`` for a file without any.

    A version whose event cannot be read is left out; ``verify`` names it.
    """
    directory = _directory_of(root, file_id)
    known = [number for path in directory.iterdir() if (number := version_of_json(path.name)) is not None]
    if not known:
        raise NotFound(UNKNOWN_FILE)
    numbers = sorted((number for number in known if before is None or number < before), reverse=True)
    events = (_event_of(directory, file_id, number) for number in numbers[:limit])
    return {
        "items": [_shown(event) for event in events if event is not None],
        "next": numbers[limit - 1] if len(numbers) > limit else None,
    }


def version_of(root: Path, file_id: int, version: int) -> StoredVersion:
    """One version. ``NotFound`` when there is no such entry, ``BlobDamaged`` when its event cannot be read."""
    event = entry_in_history(root, file_id, version)
    content = None if event["type"] == FILE_DELETE else _content_of(_directory_of(root, file_id), version)
    path = None if content is None else content.relative_to(root).as_posix()
    return {**_shown(event), "user_id": event["user_id"], "path": path}


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


def _content_of(directory: Path, version: int) -> Path | None:
    prefix = content_prefix(version)
    return next((path for path in sorted(directory.iterdir()) if path.name.startswith(prefix)), None)


def _numbered(directory: Path) -> list[Path]:
    """Subdirectories whose names are numbers, in their order."""
    try:
        names = [entry.name for entry in os.scandir(directory) if entry.name.isascii() and entry.name.isdigit()]
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names, key=int)]


def _content(directory: Path, contents: dict[str, str], version: int) -> Path | None:
    name = contents.get(content_prefix(version))
    return directory / name if name else None


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
