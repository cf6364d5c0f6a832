"""The backup proves itself: every entry is read again and compared with its event. Blocking: call it in a thread.

The directory alone shows what is damaged and what is missing between two versions; that a file's newest versions or a
whole file were removed, only the journal can tell (``absent``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict

from backup.catalogue import Entry, entries_of, file_directories
from backup.content import matches, never
from backup.history import HISTORY
from backup.names import json_name
from docsave_services.contracts import FileEvent

SHARED_CONTENT_MAX = 100_000
"""Hard-linked contents remembered, so that equal content is read once; past it some is read again."""


class Finding(TypedDict):
    """One bad item: which version of which file, where in the backup directory, and what is wrong."""

    file_id: int
    version: int
    path: str
    problem: str


class Report(TypedDict):
    """What ``verify`` found. ``checked`` counts entries, deletions included; ``journal_compared`` is False when the
    files service could not be asked what there should be."""

    checked: int
    damaged: list[Finding]
    missing: list[Finding]
    journal_compared: bool


def absent(root: Path, events: Iterable[FileEvent]) -> list[Finding]:
    """The events that have no entry."""
    findings: list[Finding] = []
    for event in events:
        where = Path(HISTORY, str(event["user_id"]), str(event["id"]), json_name(event["version"]))
        if not (root / where).exists():
            findings.append(_absence(event["id"], event["version"], where.as_posix()))
    return findings


def _absence(file_id: int, version: int, path: str) -> Finding:
    return {"file_id": file_id, "version": version, "path": path, "problem": "no entry for this version"}


class Verification:
    """One pass over the history. It writes nothing.

    ``copied`` is the event up to which all copies were safe when the pass began; a version that is not there yet
    while a later one is, is missing only below it. Without it every hole counts.
    """

    def __init__(self, root: Path, cancelled: Callable[[], bool] = never, copied: int | None = None) -> None:
        self._root = root
        self._cancelled = cancelled
        self._copied = copied
        self._known: dict[tuple[int, int], str] = {}
        self._report: Report = {"checked": 0, "damaged": [], "missing": [], "journal_compared": False}

    def run(self) -> Report:
        """Read everything. ``Cancelled`` when the service stops meanwhile."""
        for file_id, directory in file_directories(self._root):
            expected = 1
            for entry in entries_of(file_id, directory):
                if self._is_past(entry):
                    self._note_hole(file_id, directory, range(expected, entry.version))
                expected = entry.version + 1
                self._check(entry)
        return self._report

    def _is_past(self, entry: Entry) -> bool:
        return self._copied is None or entry.event is None or entry.event["event_id"] <= self._copied

    def _note_hole(self, file_id: int, directory: Path, versions: range) -> None:
        for version in versions:
            where = (directory / json_name(version)).relative_to(self._root).as_posix()
            self._report["missing"].append(_absence(file_id, version, where))

    def _check(self, entry: Entry) -> None:
        self._report["checked"] += 1
        if entry.event is None:
            self._add("damaged", entry.file_id, entry.version, entry.path, "the event cannot be read")
        elif (entry.event["id"], entry.event["version"]) != (entry.file_id, entry.version):
            self._add("damaged", entry.file_id, entry.version, entry.path, "the event belongs to another entry")
        elif entry.has_content:
            self._check_content(entry, entry.event)

    def _check_content(self, entry: Entry, event: FileEvent) -> None:
        if entry.content is None:
            self._add("missing", entry.file_id, entry.version, entry.path, "the content is missing")
            return
        try:
            whole = self._is_whole(entry.content, event)
        except OSError as exc:
            problem = f"the content cannot be read: {exc.strerror}"
            self._add("damaged", entry.file_id, entry.version, entry.content, problem)
            return
        if not whole:
            self._add("damaged", entry.file_id, entry.version, entry.content, "the content does not match its hash")

    def _is_whole(self, content: Path, event: FileEvent) -> bool:
        status = os.lstat(content)
        inode = (status.st_dev, status.st_ino)
        if self._known.get(inode) == event["sha256"] and status.st_size == event["size"]:
            return True
        whole = matches(content, event["sha256"], event["size"], self._cancelled)
        if whole and status.st_nlink > 1 and len(self._known) < SHARED_CONTENT_MAX:
            self._known[inode] = event["sha256"]
        return whole

    def _add(self, kind: str, file_id: int, version: int, path: Path, problem: str) -> None:
        where = path.relative_to(self._root).as_posix()
        findings = self._report["damaged"] if kind == "damaged" else self._report["missing"]
        findings.append({"file_id": file_id, "version": version, "path": where, "problem": problem})
