"""What a place for one more copy of the backup must be able to do, and what can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from backup.accounts import ACCOUNTS
from backup.chain_log import Line
from backup.errors import DirectoryGone
from backup.holds import HOLDS
from backup.targets.item import Item
from docsave_services.contracts import BACKUP_MARKER
from docsave_services.storage.durable import make_directories, write_file

UNREACHABLE = "unreachable"
REFUSED = "refused"
DIVERGED = "diverged"


BESIDE = (ACCOUNTS, HOLDS)
"""Directories beside the history whose files are replaced now and then: accounts, legal holds."""


class TargetAway(DirectoryGone):
    """The target cannot be used at the moment; ``state`` and the text are what ``status`` shows.

    It ends the work there, as a directory that is gone does; after a pause it is looked at again.
    """

    code = "target_away"

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Target(Protocol):
    """A place that gets every entry of the chain. All methods block, and raise ``TargetAway`` when it is no more the
    place that was opened; ``OSError`` and the errors of ``History.write`` concern one entry, which is tried again.

    A process that dies in the middle of any method leaves nothing that the next one takes for whole.
    """

    name: str

    def open(self, marker: bytes) -> Line | None:
        """Make sure that it is the place for the backup with this ``marker``, and that nobody else writes there.
        The last line of the chain that it has; None while it has none."""

    def adopt(self, marker: bytes) -> None:
        """Put ``marker`` there if another is, or none: its history is that of the backup directory."""

    def write(self, item: Item, cancelled: Callable[[], bool]) -> None:
        """Copy an entry; when this returns it is durable, and what was read back is what was to be written. Harmless
        when repeated; never twice at once for the same content."""

    def append(self, lines: Sequence[Line]) -> None:
        """Move the place: ``lines`` follow the last one, and their entries are written."""

    def keep_beside(self, name: str, text: bytes) -> None:
        """Have the file ``name``, below one of ``BESIDE``, with this text."""

    def close(self) -> None:
        """Let others write there."""


@dataclass(frozen=True, slots=True)
class Record:
    """Notes in the data directory that the place ``where`` was marked once: without its mark it is not there."""

    path: Path
    where: str

    def is_known(self, store_id: str) -> bool:
        """Whether the place was marked for that store."""
        return bool(self._read() == {"store_id": store_id, "where": self.where})

    def keep(self, store_id: str) -> None:
        """Note it, unless it is."""
        if not self.is_known(store_id):
            make_directories(self.path.parent)
            text = json.dumps({"store_id": store_id, "where": self.where}, indent=2, ensure_ascii=False) + "\n"
            write_file(self.path, text.encode())

    def _read(self) -> Any:
        try:
            return json.loads(self.path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None  # the mark itself then says whose the place is


def store_of(marker: bytes) -> str:
    """The id of the store that a marker names. ``TargetAway`` for what is no marker."""
    try:
        return str(json.loads(marker)["store_id"])
    except (ValueError, KeyError, TypeError) as exc:
        raise TargetAway(REFUSED, f"the marker {BACKUP_MARKER} there cannot be read") from exc


def check_mark(found: bytes | None, ours: bytes, record: Record, is_empty: Callable[[], bool]) -> None:
    """``TargetAway`` unless the place bears the mark of our store, or is empty and was never marked."""
    store_id = store_of(ours)
    if found is not None:
        if store_of(found) != store_id:
            raise TargetAway(REFUSED, "the place belongs to another backup")
    elif record.is_known(store_id):
        raise TargetAway(REFUSED, f"the marker {BACKUP_MARKER} is gone from there: not mounted, exchanged or emptied?")
    elif not is_empty():
        raise TargetAway(REFUSED, f"the place is not empty and has no {BACKUP_MARKER}")
