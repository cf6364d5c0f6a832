"""The backup proves itself: every entry is read again and compared with its event, with the chain, and its content
with its hash. Blocking: call it in a thread.

The chain shows what was changed, added, moved or removed, also of what is copied during a pass; what it does not have
by the end only the journal can tell (``absent``).
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from backup.catalogue import Entry, entries_of, entry_at, file_directories
from backup.chain import Head
from backup.chain_check import MOVED, ChainCheck
from backup.chain_log import ENTRIES_LOG, ChainView, Line
from backup.content import forget_cached, gives, holds, never
from backup.history import HISTORY
from backup.names import json_name
from backup.pace import Pace
from docsave_services.contracts import FILE_DELETE, FileEvent
from docsave_services.errors import BlobDamaged, BlobMissing
from docsave_services.storage import BlobStore

SHARED_CONTENT_MAX = 100_000
"""Hard-linked contents remembered, so that equal content is read once; past it some is read again."""

NAMES_OF_ONE_ENTRY = 2
"""Links of a content that no other entry shares: the entry's own and the object's."""

NEWER_MAX = 10_000
"""Entries remembered that the chain does not have yet: it has them within seconds, so that there are more only in a
directory that somebody filled."""

Kind = Literal["event", "content", "chain", "blob"]

NO_ENTRY = "no entry for this version"


class Finding(TypedDict):
    """One bad item: which version of which file, where in the backup directory, and what is wrong.

    ``kind`` tells whether it is the event, the content, the chain itself (then file and version are 0) or the blob in
    the store (then ``path`` is its key).
    """

    file_id: int
    version: int
    path: str
    kind: Kind
    problem: str


class Report(TypedDict):
    """What ``verify`` found. ``checked`` counts entries, deletions included, ``bytes`` what was read of contents;
    ``journal_compared`` is False when the files service could not be asked what there should be; ``newer`` entries are
    not in the chain yet. ``head`` is that of the chain, None while it has none or is damaged."""

    checked: int
    bytes: int
    damaged: list[Finding]
    missing: list[Finding]
    repaired: list[str]
    newer: int
    journal_compared: bool
    head: Head | None


@dataclass(frozen=True, slots=True)
class Share:
    """Which files a pass reads: those whose id leaves ``number`` when divided by ``of``."""

    number: int = 0
    of: int = 1

    def has(self, file_id: int) -> bool:
        """Whether the file's turn is now."""
        return file_id % self.of == self.number

    @property
    def has_chain(self) -> bool:
        """Whether the chain as a whole is looked at: once in a round."""
        return self.number == 0


EVERYTHING = Share()


def absent(root: Path, events: Iterable[FileEvent]) -> list[Finding]:
    """The events that have no entry."""
    findings: list[Finding] = []
    for event in events:
        where = Path(HISTORY, str(event["user_id"]), str(event["id"]), json_name(event["version"]))
        if not (root / where).exists():
            findings.append(_finding(event["id"], event["version"], where.as_posix(), "event", NO_ENTRY))
    return findings


def _finding(file_id: int, version: int, path: str, kind: Kind, problem: str) -> Finding:
    return {"file_id": file_id, "version": version, "path": path, "kind": kind, "problem": problem}


def all_findings(report: Report) -> Iterator[Finding]:
    """What was found, in the order of the report."""
    yield from report["damaged"]
    yield from report["missing"]


def is_sound(report: Report) -> bool:
    """Whether nothing was found."""
    return not report["damaged"] and not report["missing"]


def is_chain_sound(report: Report) -> bool:
    """Whether the chain is whole and the entries looked at are its own: then its head can be noted."""
    return report["head"] is not None and not any(f["kind"] in ("chain", "event") for f in all_findings(report))


class Verification:
    """One pass over the history. It writes nothing.

    ``copied`` is the event up to which all copies were safe when the pass began; a version that is not there yet
    while a later one is, is missing only below it. Without it every hole counts. ``noted`` is a head that the chain
    had; with ``blobs`` the store's content is compared, too.
    """

    def __init__(
        self,
        root: Path,
        cancelled: Callable[[], bool] = never,
        copied: int | None = None,
        *,
        share: Share = EVERYTHING,
        pace: Pace | None = None,
        noted: Head | None = None,
        blobs: BlobStore | None = None,
    ) -> None:
        self.root = root
        self.total = ChainView(root).size() // share.of
        self.newer: dict[int, Finding] = {}
        self._cancelled = cancelled
        self._copied = copied
        self._share = share
        self._pace = pace or Pace()
        self._noted = noted
        self._blobs = blobs
        self._known: dict[tuple[int, int], str] = {}
        self._known_blobs: set[str] = set()
        self._named: set[tuple[int, int]] = set()
        self.report: Report = {
            "checked": 0,
            "bytes": 0,
            "damaged": [],
            "missing": [],
            "repaired": [],
            "newer": 0,
            "journal_compared": False,
            "head": None,
        }

    def run(self) -> Report:
        """Read everything of the share. ``Cancelled`` when the service stops meanwhile."""
        chain = ChainCheck(self.root, ChainView(self.root).size())
        if self._share.has_chain:
            for path, problem in chain.faults(self._noted, self._cancelled):
                self._add("damaged", _finding(0, 0, path, "chain", problem))
            if 0 < chain.size < (self._copied or 0):
                problem = f"it ends at entry {chain.size}, the copies reach up to {self._copied}"
                self._add("damaged", _finding(0, 0, ENTRIES_LOG.as_posix(), "chain", problem))
        for file_id, directory in file_directories(self.root):
            if self._share.has(file_id):
                self._check_file(chain, file_id, directory)
        for line in chain.unseen():
            if self._share.has(line.file_id) and line.is_vouched_for:
                self._note_unseen(line)
        self._settle_newer(chain)
        self.report["newer"] = len(self.newer)
        with contextlib.suppress(BlobDamaged):
            self.report["head"] = ChainView(self.root).head(chain.size) if chain.size else None
        return self.report

    def _check_file(self, chain: ChainCheck, file_id: int, directory: Path) -> None:
        expected = 1
        sound: list[Entry] = []
        for entry in entries_of(file_id, directory):
            if self._is_past(entry):
                self._note_hole(file_id, directory, range(expected, entry.version))
            expected = entry.version + 1
            if self._check(chain, entry):
                sound.append(entry)
        if self._blobs and sound:
            self._check_blobs(self._blobs, sound)

    def _is_past(self, entry: Entry) -> bool:
        return self._copied is None or entry.event is None or entry.event["event_id"] <= self._copied

    def _note_hole(self, file_id: int, directory: Path, versions: range) -> None:
        for version in versions:
            where = (directory / json_name(version)).relative_to(self.root).as_posix()
            self._add("missing", _finding(file_id, version, where, "event", NO_ENTRY))

    def _note_unseen(self, line: Line) -> None:
        if (line.file_id, line.version) not in self._named:
            where = Path(HISTORY, str(line.user_id), str(line.file_id), json_name(line.version)).as_posix()
            self._add("missing", _finding(line.file_id, line.version, where, "event", NO_ENTRY))

    def _check(self, chain: ChainCheck, entry: Entry) -> bool:
        """Whether the event is as it should be; then its content is looked at, too."""
        self.report["checked"] += 1
        problem = self._event_problem(chain, entry)
        if problem or entry.event is None:
            self._note(entry, entry.path, "event", problem or "")
            return False
        self._check_content(entry, entry.event)
        return True

    def _event_problem(self, chain: ChainCheck, entry: Entry) -> str | None:
        """What is wrong with the event; one that the chain does not have yet is remembered."""
        event, user_id = entry.event, _owner_of(entry.path)
        if event is None:
            return "the event cannot be read"
        if (event["id"], event["version"], event["user_id"]) != (entry.file_id, entry.version, user_id):
            return "the event belongs to another entry"
        if chain.reaches(event["event_id"]):
            return chain.problem(user_id, event)
        return self._newer_problem(chain, entry, event)

    def _newer_problem(self, chain: ChainCheck, entry: Entry, event: FileEvent) -> str | None:
        if len(self.newer) >= NEWER_MAX:
            self._settle_newer(chain)
        if event["event_id"] in self.newer or len(self.newer) >= NEWER_MAX:
            return MOVED
        where = entry.path.relative_to(self.root).as_posix()
        self.newer[event["event_id"]] = _finding(entry.file_id, entry.version, where, "event", MOVED)
        return None

    def _settle_newer(self, chain: ChainCheck) -> None:
        """Compare those that the chain has by now with it."""
        reached = chain.grown()
        for event_id in [event_id for event_id in self.newer if event_id <= reached]:
            finding = self.newer.pop(event_id)
            owner = _owner_of(Path(finding["path"]))
            entry = entry_at(self.root, owner, finding["file_id"], finding["version"])
            problem = self._event_problem(chain, entry)
            if problem:
                self._note(entry, entry.path, "event", problem)

    def _check_content(self, entry: Entry, event: FileEvent) -> None:
        problem = self._content_problem(entry, event)
        if problem and (fresh := _lies_otherwise_now(entry)):
            entry, problem = fresh, self._content_problem(fresh, event)
        if problem and entry.content is None:
            where = entry.path.relative_to(self.root).as_posix()
            self._add("missing", _finding(entry.file_id, entry.version, where, "content", problem))
        elif problem and entry.content:
            self._note(entry, entry.content, "content", problem)

    def _content_problem(self, entry: Entry, event: FileEvent) -> str | None:
        if not entry.has_content:
            return None
        if entry.content is None:
            return "the content is missing"
        try:
            whole = self._is_whole(entry, entry.content, event)
        except OSError as exc:
            return f"the content cannot be read: {exc.strerror}"
        return None if whole else _what_is_wrong(entry)

    def _is_whole(self, entry: Entry, content: Path, event: FileEvent) -> bool:
        if entry.layout.plain(entry.version) is None:
            return gives(entry.layers, event["sha256"], event["size"], self._cancelled, self._took)
        status = os.lstat(content)
        inode = (status.st_dev, status.st_ino)
        if self._known.get(inode) == event["sha256"] and status.st_size == event["size"]:
            return True
        with io.FileIO(content) as reader:
            whole = self._reread(reader, event)
        if whole and status.st_nlink > NAMES_OF_ONE_ENTRY and len(self._known) < SHARED_CONTENT_MAX:
            self._known[inode] = event["sha256"]
        return whole

    def _reread(self, reader: io.FileIO, event: FileEvent) -> bool:
        forget_cached(reader.fileno())
        return holds(reader, event["sha256"], event["size"], self._cancelled, self._took)

    def _took(self, count: int) -> None:
        self.report["bytes"] += count
        self._pace.took(count)

    def _check_blobs(self, blobs: BlobStore, entries: list[Entry]) -> None:
        """Every blob that the store has must be whole, and it must have that of a file that is still there."""
        newest = max((entry.version for entry in entries if entry.has_content), default=0)
        last = entries[-1].event
        removed = bool(last and last["type"] == FILE_DELETE and last.get("permanent"))
        for entry in entries:
            event = entry.event
            if event is None or not entry.has_content or event["sha256"] in self._known_blobs:
                continue
            self._remember_blob(event["sha256"])
            try:
                with io.FileIO(blobs.open(event["path"])) as reader:
                    whole = self._reread(reader, event)
            except BlobMissing:
                if entry.version == newest and not removed:
                    finding = _finding(entry.file_id, entry.version, event["path"], "blob", "the blob is missing")
                    self._add("missing", finding)
                continue
            except OSError as exc:
                whole, problem = False, f"the blob cannot be read: {exc.strerror}"
            else:
                problem = "the blob does not match its hash"
            if not whole:
                self._add("damaged", _finding(entry.file_id, entry.version, event["path"], "blob", problem))

    def _remember_blob(self, sha256: str) -> None:
        if len(self._known_blobs) < SHARED_CONTENT_MAX:
            self._known_blobs.add(sha256)

    def _note(self, entry: Entry, path: Path, kind: Kind, problem: str) -> None:
        where = path.relative_to(self.root).as_posix()
        self._add("damaged", _finding(entry.file_id, entry.version, where, kind, problem))

    def _add(self, where: Literal["damaged", "missing"], finding: Finding) -> None:
        if finding["kind"] == "event":
            self._named.add((finding["file_id"], finding["version"]))
        self.report[where].append(finding)


def _owner_of(entry: Path) -> int:
    """The user under whose id the entry's JSON lies."""
    return int(entry.parent.parent.name)


def _lies_otherwise_now(entry: Entry) -> Entry | None:
    """The entry as it is now, if compaction or a rule of retention changed meanwhile how its content lies."""
    directory = entry.layout.directory
    fresh = entry_at(directory.parent.parent.parent, int(directory.parent.name), entry.file_id, entry.version)
    return None if _files(fresh) == _files(entry) and fresh.thinned == entry.thinned else fresh


def _files(entry: Entry) -> list[Path]:
    with contextlib.suppress(BlobDamaged):
        return entry.layout.way(entry.version)
    return []


def _what_is_wrong(entry: Entry) -> str:
    try:
        files = [path.name for path in entry.layout.way(entry.version)]
    except BlobDamaged as exc:
        return str(exc)
    if len(files) < 2:
        return "the content does not match its hash"
    return f"the content does not match its hash; it is made of {', '.join(files)}"
