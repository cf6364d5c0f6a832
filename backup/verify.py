"""The backup proves itself: every entry is read again and compared with its event. Blocking: call it in a thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from backup.catalogue import Entry, entries_of, file_directories
from backup.content import matches, never
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
    """What ``verify`` found. ``checked`` counts entries, deletions included."""

    checked: int
    damaged: list[Finding]
    missing: list[Finding]


class Verification:
    """One pass over the history. It writes nothing; entries that are being written meanwhile are not looked at."""

    def __init__(self, root: Path, cancelled: Callable[[], bool] = never) -> None:
        self._root = root
        self._cancelled = cancelled
        self._known: dict[tuple[int, int], str] = {}
        self._report: Report = {"checked": 0, "damaged": [], "missing": []}

    def run(self) -> Report:
        """Read everything. ``Cancelled`` when the service stops meanwhile."""
        for file_id, directory in file_directories(self._root):
            expected = 1
            for entry in entries_of(file_id, directory):
                for version in range(expected, entry.version):
                    self._add("missing", file_id, version, directory, "no entry for this version")
                expected = entry.version + 1
                self._check(entry)
        return self._report

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
