"""What a backup directory has for a rebuild: every file's versions, and what is wrong with them. Blocking.

What cannot be read is named and left out; the rest goes on. Nothing is written here.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from backup.catalogue import Entry, entries_of, file_directories
from backup.names import version_label, version_of_json
from docsave_services.contracts import FileEvent
from docsave_services.domain.folders import folder_problem
from docsave_services.domain.ids import ID_MAX
from docsave_services.domain.labels import labels_problem
from docsave_services.domain.names import name_problem

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NUMBERED_CONTENT = re.compile(r"v(\d{6,18})_")
_NUMBER_END = 2**63


@dataclass(slots=True)
class FileHistory:
    """The versions of one file that can be used, oldest first, and the directory that they lie in."""

    directory: Path
    entries: list[Entry] = field(default_factory=list)

    @property
    def events(self) -> list[FileEvent]:
        """The same as events."""
        return [entry.event for entry in self.entries if entry.event is not None]

    @property
    def newest(self) -> FileEvent:
        """What the file is now."""
        return self.events[-1]

    def with_newest_content(self) -> list[Entry]:
        """The entries whose content is the file's now, newest first: a deletion has none of its own."""
        wanted = self.newest["sha256"]
        return [e for e in reversed(self.entries) if e.has_content and e.event and e.event["sha256"] == wanted]


Visit = Callable[[FileHistory], None]
"""Hears of each file that was not removed for good."""


class Survey:
    """Goes through ``root`` up to the event ``through`` (None: all of it). ``run`` comes first."""

    def __init__(self, root: Path, through: int | None = None) -> None:
        self._root = root
        self._through = through
        self._event_ids = array("q")
        self._file_ids = array("q")
        self._repeated_events: set[int] = set()
        self._repeated_files: set[int] = set()
        self.problems: list[str] = []
        self.unfinished: list[Path] = []
        self.last = 0
        self.file_id_max = 0
        self.user_id_max = 0

    def run(self, visit: Visit, tick: Callable[[], None]) -> None:
        """Read every entry once; afterwards everything else is known. ``tick`` is called for each file."""
        for file_id, directory in file_directories(self._root):
            self.file_id_max = max(self.file_id_max, file_id)
            self.user_id_max = max(self.user_id_max, int(directory.parent.name))
            tick()
            history = self._usable(file_id, directory, self.problems)
            self._note_rest(directory, history)
            if history.entries:
                self._count(file_id, history)
                if not history.newest.get("permanent"):
                    visit(history)
        self._find_repeats()
        self._find_holes()

    def histories(self) -> Iterator[list[FileEvent]]:
        """Every file's events once more; an event or a file that is there twice only where it comes first."""
        events, files = set(self._repeated_events), set(self._repeated_files)
        gone: set[int] = set()
        for file_id, directory in file_directories(self._root):
            if file_id in gone:
                continue
            if file_id in files:
                gone.add(file_id)
            kept = []
            for event in self._usable(file_id, directory, []).events:
                if event["event_id"] in self._repeated_events:
                    if event["event_id"] not in events:
                        continue
                    events.remove(event["event_id"])
                kept.append(event)
            if kept:
                yield kept

    def _usable(self, file_id: int, directory: Path, problems: list[str]) -> FileHistory:
        history = FileHistory(directory)
        expected = 1
        for entry in entries_of(file_id, directory):
            problem = _problem(entry, directory)
            if problem:
                problems.append(f"{self._name(directory)} {version_label(entry.version)}: {problem}")
                continue
            if self._through is not None and entry.event is not None and entry.event["event_id"] > self._through:
                break
            if entry.version > expected:
                missing = version_label(expected), version_label(entry.version - 1)
                problems.append(f"{self._name(directory)}: versions {missing[0]} to {missing[1]} are not there")
            expected = entry.version + 1
            history.entries.append(entry)
        return history

    def _note_rest(self, directory: Path, history: FileHistory) -> None:
        """What lies behind the newest usable version: a copy that was under way, an entry that is torn. The next
        version of the file will need its place."""
        newest = history.entries[-1].version if history.entries else 0
        for path in sorted(directory.iterdir()):
            match = _NUMBERED_CONTENT.match(path.name)
            version = int(match[1]) if match else version_of_json(path.name) or 0
            if version > newest and self._through is None:
                self.unfinished.append(path)
                self.problems.append(f"{self._name(directory)}: {path.name} belongs to a version that is not complete")

    def _count(self, file_id: int, history: FileHistory) -> None:
        self._file_ids.append(file_id)
        for event in history.events:
            self._event_ids.append(event["event_id"])
            self.last = max(self.last, event["event_id"])

    def _find_repeats(self) -> None:
        for what, ids, found in (
            ("event", self._event_ids, self._repeated_events),
            ("file", self._file_ids, self._repeated_files),
        ):
            found.update(one for one, other in pairwise(sorted(ids)) if one == other)
            self.problems += [f"{what} {number} is there twice: only the first counts" for number in sorted(found)]

    def _find_holes(self) -> None:
        for one, other in pairwise([0, *sorted(self._event_ids)]):
            if other > one + 1:
                self.problems.append(f"events {one + 1} to {other - 1} of the journal have no entry")
        self._event_ids, self._file_ids = array("q"), array("q")

    def _name(self, directory: Path) -> str:
        return directory.relative_to(self._root).as_posix()


def _problem(entry: Entry, directory: Path) -> str | None:
    """Why an entry cannot become a row of the journal."""
    event = entry.event
    if event is None:
        return "the entry cannot be read"
    if (event["id"], event["version"], event["user_id"]) != (entry.file_id, entry.version, int(directory.parent.name)):
        return "the entry belongs to another version"
    if max(event["id"], event["version"], event["user_id"]) > ID_MAX or not 0 < event["event_id"] < _NUMBER_END:
        return "the entry has a number that cannot be"
    folder, labels = event.get("folder", ""), event.get("labels", {})
    if name_problem(event["name"]) or folder_problem(folder) or labels_problem(labels):
        return "the entry has a name, folder or label that cannot be"
    return _detail_problem(event)


def _detail_problem(event: FileEvent) -> str | None:
    size, by = event.get("size"), event.get("by")
    if type(size) is not int or not 0 <= size < _NUMBER_END or not _SHA256.fullmatch(str(event.get("sha256"))):
        return "the entry has no size or hash"
    if len(event.get("media_type", "")) > 255 or not (by is None or (type(by) is int and 0 < by <= ID_MAX)):
        return "the entry has a detail that cannot be"
    return None
