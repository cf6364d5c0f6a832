"""Reading the history: which versions there are, from the directory alone. Blocking: call it in a thread."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from backup.history import HISTORY, validate
from backup.names import content_prefix, version_of_json
from docsave_services.contracts import FILE_DELETE, FileEvent


class Version(TypedDict):
    """One version as the API shows it."""

    version: int
    event: str
    name: str
    size: int
    sha256: str
    at: str


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


def versions_of(root: Path, file_id: int) -> list[Version]:
    """The versions of a file, newest first; none for a file the directory does not know.

    File ids are unique, so that only the users' directories are looked through, not their files.
    """
    found: dict[int, Version] = {}
    for user in _numbered(root / HISTORY):
        directory = user / str(file_id)
        if directory.is_dir():
            shown = (_shown(entry.event) for entry in entries_of(file_id, directory) if entry.event is not None)
            found.update({version["version"]: version for version in shown})
    return [found[number] for number in sorted(found, reverse=True)]


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
    return {
        "version": event["version"],
        "event": event["type"],
        "name": event["name"],
        "size": event["size"],
        "sha256": event["sha256"],
        "at": event["at"],
    }
