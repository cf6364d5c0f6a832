"""The drill: docsave is rebuilt from its backup in a scratch place, and compared with the one that runs (ADR 015).

The backup directory is only read, so the backup service goes on meanwhile. Compared is what was safely copied when
the drill began: what came later is not its business.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backup.accounts import read_accounts
from backup.rebuild import Filler
from backup.restore_choice import check_root
from backup.verify import Verification
from docsave_services.contracts import BACKUP, CHANGES_LIMIT_MAX, FILES, USERS
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import Unavailable
from docsave_services.runtime.refounding import Ground
from docsave_services.storage import BlobStore

PAGE = 1000
SHOWN_MAX = 1000
"""Differences that a report holds; it counts them all."""

ACCOUNTS_SECONDS = 15.0
"""How long a change of an account may take into the backup."""

_NOT_COMPARED = ("cursor", "backup")
"""A rebuilt journal has an epoch of its own, and how far the backup has come is not in the backup."""

Call = Callable[..., Any]
"""``call(service, method, **arguments)`` on the running system."""

Step = Callable[[str], None]


@dataclass(slots=True)
class Drilled:
    """What a drill found. It passed when there is no difference, no problem, and nothing damaged or missing."""

    cursor: str = ""
    events: int = 0
    files: int = 0
    accounts: int = 0
    contents: int = 0
    bytes: int = 0
    verified: int = 0
    differences_total: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the backup gives back what there is."""
        return not self.differences_total

    def differ(self, what: str) -> None:
        """One thing more that is not the same."""
        self.differences_total += 1
        if len(self.differences) < SHOWN_MAX:
            self.differences.append(what)


class Drill:
    """One drill of the backup directory ``root``; ``step`` hears what it is doing."""

    def __init__(self, root: Path, call: Call, step: Step = lambda _: None) -> None:
        self._root = root
        self._call = call
        self._step = step
        self._drilled = Drilled()
        self._accounts: list[Mapping[str, Any]] = []

    def run(self, scratch: Path) -> Drilled:
        """Rebuild below ``scratch``, compare, and leave nothing there."""
        check_root(self._root)
        scratch.mkdir(parents=True, exist_ok=True)
        place = self._copied()
        self._drilled.cursor = str(place)
        self._accounts = self._kept_accounts()
        directory = Path(tempfile.mkdtemp(prefix="drill-", dir=scratch))
        try:
            with Ground(f"sqlite:///{directory}/drill.sqlite3") as ground:
                self._rebuild(directory, ground, place)
                self._compare(ground, place)
        finally:
            shutil.rmtree(directory)
        self._verify(place)
        return self._drilled

    def _copied(self) -> Cursor:
        """The place up to which everything is copied, which the running backup says."""
        status = self._call(BACKUP, "status")
        if not status["cursor"]:
            raise Unavailable(f"the backup is {status['state']}: {status['reason']}")
        return Cursor.parse(status["cursor"])

    def _kept_accounts(self) -> list[Mapping[str, Any]]:
        """All accounts, once the backup has them as they are; it may be a few seconds behind."""
        end = time.monotonic() + ACCOUNTS_SECONDS
        while True:
            live = list(_pages(lambda after: self._call(USERS, "list", limit=PAGE, after=after)))
            kept, _ = read_accounts(self._root)
            if {account["id"]: account for account in live} == kept or time.monotonic() >= end:
                return live
            time.sleep(0.5)

    def _rebuild(self, directory: Path, ground: Ground, place: Cursor) -> None:
        self._step("rebuilding")
        filler = Filler(self._root, ground, BlobStore(directory / "blobs"), place.event_id)
        filler.bring_content(lambda: None)
        filler.found(place.epoch, place.event_id)
        for problem in filler.rebuilt.problems:
            self._drilled.differ(problem)
        self._drilled.contents, self._drilled.bytes = filler.rebuilt.contents, filler.rebuilt.bytes

    def _compare(self, ground: Ground, place: Cursor) -> None:
        self._step("comparing the journal")
        live = _journal(lambda since: self._call(FILES, "changes", since=since, limit=CHANGES_LIMIT_MAX), place)
        ours = _journal(lambda since: ground.changes(since, CHANGES_LIMIT_MAX), place)
        self._drilled.events = self._same("event", "event_id", live, ours)
        self._step("comparing the documents")
        at = str(place)
        for deleted in (False, True):
            live = _pages(lambda after, d=deleted: self._live_files(at, after, d))  # type: ignore[misc]
            ours = _pages(lambda after, d=deleted: ground.files(at, after, PAGE, d))  # type: ignore[misc]
            self._drilled.files += self._same("document", "id", live, ours)
        self._step("comparing the accounts")
        newest = self._accounts[-1]["id"] if self._accounts else 0
        ours = (account for account in ground.accounts() if account["id"] <= newest)
        self._drilled.accounts = self._same("account", "id", iter(self._accounts), ours)

    def _live_files(self, at: str, after: str | None, deleted: bool) -> Any:
        return self._call(FILES, "list_past", at=at, after=after, limit=PAGE, deleted=deleted)

    def _same(self, what: str, key: str, live: Iterator[Mapping[str, Any]], ours: Iterator[Mapping[str, Any]]) -> int:
        """Hold two lists, both in the order of ``key``, against each other; how many the live one has."""
        count = 0
        one, other = next(live, None), next(ours, None)
        while one is not None or other is not None:
            count += one is not None
            if other is None or (one is not None and one[key] < other[key]):
                self._drilled.differ(f"{what} {one[key]} did not come back")  # type: ignore[index]
                one = next(live, None)
            elif one is None or other[key] < one[key]:
                self._drilled.differ(f"{what} {other[key]} came back and is not there")
                other = next(ours, None)
            else:
                fields = _other_fields(one, other)
                if fields:
                    self._drilled.differ(f"{what} {one[key]} differs in {', '.join(fields)}")
                one, other = next(live, None), next(ours, None)
        return count

    def _verify(self, place: Cursor) -> None:
        """Read every version's content, and the chain."""
        self._step("verifying all content")
        report = Verification(self._root, copied=place.event_id).run()
        self._drilled.verified = report["checked"]
        for kind, findings in (("damaged", report["damaged"]), ("missing", report["missing"])):
            for finding in findings:
                self._drilled.differ(f"{kind}: {finding['path']}: {finding['problem']}")


def _other_fields(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return sorted(f for f in one.keys() | other.keys() if f not in _NOT_COMPARED and one.get(f) != other.get(f))


def _journal(page_after: Callable[[int], Any], place: Cursor) -> Iterator[Mapping[str, Any]]:
    """The events up to ``place``."""
    since = 0
    while since < place.event_id:
        page = page_after(since)
        for event in page["items"]:
            if event["event_id"] <= place.event_id:
                yield event
        since = Cursor.parse(page["cursor"]).event_id


def _pages(page_after: Callable[[str | None], Any]) -> Iterator[Mapping[str, Any]]:
    after: str | None = None
    while True:
        page = page_after(after)
        yield from page["items"]
        after = page["next"]
        if after is None:
            return
