"""What to restore from the backup directory alone: whose files, as of when. Blocking, and writes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backup.catalogue import Entry, entries_of, file_directories, newest_entry, version_entry
from backup.content import Source
from backup.history import HISTORY, OBJECTS
from docsave_services.contracts import BACKUP_MARKER, FileEvent
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.folders import ROOT, folder_problem
from docsave_services.errors import CursorExpired, InvalidInput
from docsave_services.storage import blob_key
from docsave_services.times import from_text, with_seconds

Tick = Callable[[], None]


class NoBackup(Exception):
    """That directory holds no backup of docsave."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which files: None is no restriction. ``place`` is the last event that counts; with ``version`` that one alone,
    instead of the newest."""

    user_id: int | None = None
    file_id: int | None = None
    folder: str = ROOT
    place: int | None = None
    version: int | None = None

    def directories(self, root: Path) -> Iterator[tuple[int, Path]]:
        """The directories to look into, by user and file."""
        for file_id, directory in file_directories(root):
            if self.user_id in (None, int(directory.parent.name)) and self.file_id in (None, file_id):
                yield file_id, directory

    def has(self, event: FileEvent) -> bool:
        """Whether the file, as the event left it, lies where it is looked for."""
        folder = event.get("folder", ROOT)
        return self.folder in (ROOT, folder) or folder.startswith(f"{self.folder}/")


@dataclass(frozen=True, slots=True)
class Found:
    """The newest entry of a file that counts; and newer versions that count too, perhaps, but cannot be read."""

    file_id: int
    directory: Path
    entry: Entry | None
    unreadable: list[int]


def check_root(root: Path) -> None:
    """``NoBackup`` unless ``root`` is a backup directory."""
    if not (root / BACKUP_MARKER).is_file() or not (root / HISTORY).is_dir():
        raise NoBackup(f"{root} has no {BACKUP_MARKER} and {HISTORY}/; is its disk mounted?")


def find(root: Path, choice: Choice) -> Iterator[Found]:
    """Every file of the choice that had a version by then, those whose newest is a deletion too."""
    for file_id, directory in choice.directories(root):
        if choice.version is None:
            entry, unreadable = newest_entry(file_id, directory, choice.place)
        else:
            entry, unreadable = version_entry(file_id, directory, choice.version)
        if unreadable or (entry is not None and entry.event is not None and choice.has(entry.event)):
            yield Found(file_id, directory, entry, unreadable)


def place_of(root: Path, at: str, tick: Tick = lambda: None) -> int:
    """The event that a cursor or a moment (RFC 3339) stands for, as ``GET /files?at=`` has it: of a moment the last
    one, in the journal's order, whose time is not after it. For a moment every entry is read.

    ``CursorExpired`` for a cursor of another journal, ``InvalidInput`` for another text.
    """
    try:
        cursor = Cursor.parse(at)
    except ValueError:
        return _place_of_moment(root, from_text("at", with_seconds(at)), tick)
    if cursor.epoch not in epochs_of(root):
        raise CursorExpired("This cursor is of another journal than the backup's")
    return cursor.event_id


def epochs_of(root: Path) -> list[str]:
    """The journals that this directory holds: the present one, and those before it was rebuilt."""
    try:
        marker: Any = json.loads((root / BACKUP_MARKER).read_bytes())
        return [str(marker["epoch"]), *(str(one["epoch"]) for one in marker.get("earlier", []))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise NoBackup(f"{BACKUP_MARKER} in {root} cannot be read") from exc


def sources_of(root: Path, entry: Entry) -> list[Source]:
    """Where an entry's content may be read, the best first: its own file, and the object of the same hash."""
    event = entry.event
    if event is None or not entry.has_content:
        return []
    item = root / OBJECTS / blob_key(event["sha256"])
    own = [entry.open] if entry.content is not None and entry.content.is_file() else []
    objects = [_opener(item)] if item.is_file() else []
    return [Source(opened, event["sha256"], event["size"]) for opened in (*own, *objects)]


def _opener(place: Path) -> Callable[[], int]:
    return lambda: os.open(place, os.O_RDONLY | os.O_CLOEXEC)


def _place_of_moment(root: Path, moment: datetime, tick: Tick) -> int:
    place = 0
    for file_id, directory in file_directories(root):
        tick()
        for entry in entries_of(file_id, directory):
            event = entry.event
            if event is not None and event["event_id"] > place and _time_of(event) <= moment:
                place = event["event_id"]
    return place


def _time_of(event: FileEvent) -> datetime:
    at = datetime.fromisoformat(event["at"])  # history.validate has read it before
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def folder_of(text: str) -> str:
    """A folder as people type it; ``InvalidInput`` for what is none."""
    folder = text.strip("/")
    problem = folder_problem(folder)
    if problem:
        raise InvalidInput.for_field("folder", problem)
    return folder
