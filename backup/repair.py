"""Putting right what ``verify`` found, from whatever is whole: a copy from the blob store or a mirror of the
backup directory, a blob from a copy, an event from the mirror or the journal. Blocking.

Only the process that may write does this. Damaged bytes are set aside, never deleted. The chain itself is not
repaired: it is evidence.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backup.catalogue import entry_at
from backup.chain import leaf
from backup.chain_log import ChainView, Line
from backup.content import gives, holds, never, pieces, set_aside
from backup.errors import Cancelled, DirectoryGone, describe
from backup.history import HISTORY, History
from backup.verify import Finding, Report
from docsave_services.contracts import FileEvent
from docsave_services.errors import BlobMissing
from docsave_services.log import get_logger
from docsave_services.storage import BlobStore

_log = get_logger(__name__)

ADDED_LATER = ("folder", "labels", "permanent")
"""Fields of the journal that an entry of the first release does not have."""

Lines = Mapping[tuple[int, int], Line]
"""By file and version."""


class CannotRepair(Exception):
    """There is nothing whole to repair it from, or no way to; the text says which."""

    code = "cannot_repair"


def lines_of(root: Path, report: Report) -> Lines:
    """The chain's lines of the entries whose event is damaged or missing: to be asked for in the journal."""
    wanted = {(finding["file_id"], finding["version"]) for finding in _of_kind(report, "event")}
    chain = ChainView(root)
    lines = chain.lines(1, chain.size()) if wanted else iter(())
    return {
        (line.file_id, line.version): line
        for line in lines
        if line and line.is_vouched_for and (line.file_id, line.version) in wanted
    }


class Repair:
    """Repairs findings one by one. ``events`` are the journal's, by their number, as far as it could be asked;
    ``mirrors`` other directories with the same history. Nothing of either is believed without its hash."""

    def __init__(
        self,
        history: History,
        blobs: BlobStore,
        lines: Lines,
        events: Mapping[int, FileEvent],
        cancelled: Callable[[], bool] = never,
        mirrors: Sequence[Path] = (),
    ) -> None:
        self._history = history
        self._root = history.root
        self._blobs = blobs
        self._lines = lines
        self._events = events
        self._cancelled = cancelled
        self._mirrors = mirrors
        self._chain = ChainView(history.root)

    def run(self, report: Report) -> None:
        """Move what could be repaired from ``damaged`` and ``missing`` to ``repaired``, in words.

        What could not stays, with the reason. Contents come before blobs, for a blob is made from a copy; and newer
        versions before older ones, which may be patches against them.
        """
        for kind in ("event", "content", "blob"):
            for finding in sorted(_of_kind(report, kind), key=lambda found: -found["version"]):
                try:
                    done = self._repair(finding)
                except (Cancelled, DirectoryGone):
                    raise
                except Exception as exc:
                    finding["problem"] += f"; not repaired: {describe(exc)}"
                    continue
                _log.warning("repaired", path=finding["path"], how=done)
                report["repaired"].append(f"{finding['path']}: {done}")
                for found in (report["damaged"], report["missing"]):
                    if finding in found:
                        found.remove(finding)

    def _repair(self, finding: Finding) -> str:
        if finding["kind"] == "event":
            return self._repair_event(finding)
        if finding["kind"] == "content":
            return self._repair_content(finding)
        return self._repair_blob(finding)

    def _repair_event(self, finding: Finding) -> str:
        line = self._lines.get((finding["file_id"], finding["version"]))
        if line is None:
            raise CannotRepair("the chain has no such entry")
        entry, whence = self._event(line)
        aside = self._history.restore_description(entry)
        done = f"the event was written again from {whence}" + _kept(aside)
        if self._lacks_content(entry):
            done += "; the content was copied again" + _kept(self._restore_content(entry))
        return done

    def _event(self, line: Line) -> tuple[FileEvent, str]:
        """The entry that the chain vouches for, and in words where it is from."""
        for root in self._mirrors:
            found = entry_at(root, line.user_id, line.file_id, line.version).event
            if found is not None and leaf(found) == line.leaf:
                return found, "the mirror"
        event = self._events.get(line.event_id)
        if event is None:
            raise CannotRepair("the journal cannot be asked")
        return self._as_it_was(event, line), "the journal"

    def _as_it_was(self, event: FileEvent, line: Line) -> FileEvent:
        """The entry that has the chain's leaf: as this release writes it, or as an earlier one did."""
        previous = self._chain.link(line.event_id - 1).hex()
        plain: Any = {key: value for key, value in event.items() if key not in ADDED_LATER}
        candidates: list[Any] = [{**event, "previous": previous}, event, {**plain, "previous": previous}, plain]
        for candidate in candidates:
            if leaf(candidate) == line.leaf:
                return candidate  # type: ignore[no-any-return]
        raise CannotRepair("what the journal has is not what the chain vouches for")

    def _lacks_content(self, entry: FileEvent) -> bool:
        found = entry_at(self._root, entry["user_id"], entry["id"], entry["version"])
        return found.has_content and not gives(found.layers, entry["sha256"], entry["size"], self._cancelled)

    def _repair_content(self, finding: Finding) -> str:
        entry = self._entry(finding)
        if not self._lacks_content(entry):
            return "it is whole again with the newer version that it is a patch against"
        return "the content was copied again" + _kept(self._restore_content(entry))

    def _restore_content(self, entry: FileEvent) -> str | None:
        if self._history.has_source(entry, self._cancelled):
            return self._history.restore_content(entry, self._cancelled)
        for root in self._mirrors:
            found = entry_at(root, entry["user_id"], entry["id"], entry["version"])
            if gives(found.layers, entry["sha256"], entry["size"], self._cancelled):
                return self._history.restore_content(entry, self._cancelled, found.open)
        raise CannotRepair("neither the store nor another copy has this content whole")

    def _repair_blob(self, finding: Finding) -> str:
        entry = self._entry(finding)
        found = entry_at(self._root, entry["user_id"], entry["id"], entry["version"])
        if not gives(found.layers, entry["sha256"], entry["size"], self._cancelled):
            raise CannotRepair("the copy is not whole either")
        aside = None
        with io.FileIO(found.open()) as reader:
            staged = self._blobs.stage()
            try:
                for piece in pieces(reader, self._cancelled):
                    staged.write(piece)
                if staged.sha256 != entry["sha256"]:
                    raise CannotRepair("the copy changed while it was read")
                blob = self._blobs.root / entry["path"]
                if blob.exists() and not self._is_whole(entry):
                    aside = set_aside(blob, self._blobs.root)
                staged.commit()
            finally:
                staged.discard()
        return "the blob was made again from the copy" + _kept(aside)

    def _is_whole(self, entry: FileEvent) -> bool:
        with contextlib.suppress(BlobMissing), io.FileIO(self._blobs.open(entry["path"])) as reader:
            return holds(reader, entry["sha256"], entry["size"], self._cancelled)
        return False

    def _entry(self, finding: Finding) -> FileEvent:
        found = entry_at(self._root, self._user_of(finding), finding["file_id"], finding["version"])
        if found.event is None:
            raise CannotRepair("its event cannot be read")
        return found.event

    def _user_of(self, finding: Finding) -> int:
        if finding["kind"] == "content":
            return int(Path(finding["path"]).parts[1])
        user = next((self._root / HISTORY).glob(f"*/{finding['file_id']}"), None)
        if user is None:
            raise CannotRepair("the file has no entries")
        return int(user.parent.name)


def _of_kind(report: Report, kind: str) -> list[Finding]:
    return [finding for finding in [*report["damaged"], *report["missing"]] if finding["kind"] == kind]


def _kept(aside: str | None) -> str:
    return f" (what was there: {aside})" if aside else ""
