"""How far the copying has come, in memory and in ``state/cursor.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from docsave_services.contracts import BACKUP_MARKER
from docsave_services.log import get_logger
from docsave_services.storage.durable import make_directories, write_file

_log = get_logger(__name__)

CURSOR_FILE = Path("state", "cursor.json")


@dataclass(slots=True)
class Contiguous:
    """The highest number up to which all are done, when they are done in any order.

    Nothing above a hole is forgotten: the numbers wait until the hole is closed.
    """

    place: int
    _done: set[int] = field(default_factory=set)

    def done(self, number: int) -> None:
        """Take note that ``number`` is done; one below the place is a repeat."""
        if number <= self.place:
            return
        self._done.add(number)
        while self.place + 1 in self._done:
            self.place += 1
            self._done.remove(self.place)


@dataclass(frozen=True, slots=True)
class Place:
    """All events up to ``copied`` are safe, all up to ``reported`` are known to the files service as safe."""

    copied: int = 0
    reported: int = 0


def read_place(root: Path, epoch: str) -> Place:
    """The durable place in the journal of ``epoch``; the beginning when there is none or it cannot be read.

    Beginning again is safe: every entry is compared with what is there, and nothing is written twice. It is never
    before the end of what the journal has from an earlier one by a rebuild: there it may lack an event, for which the
    place would wait for ever, and nothing of it can be copied again.
    """
    place, least = written_place(root, epoch), rebuilt_through(root, epoch)
    return Place(max(place.copied, least), max(place.reported, least))


def rebuilt_through(root: Path, epoch: str) -> int:
    """The last event that the journal of ``epoch`` has from an earlier one; 0 when it was not rebuilt."""
    try:
        marker = json.loads((root / BACKUP_MARKER).read_bytes())
        earlier = marker.get("earlier", []) if marker["epoch"] == epoch else []
        return max((int(one["through"]) for one in earlier), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0  # whoever writes looks at the marker, and says what is wrong with it


def written_place(root: Path, epoch: str) -> Place:
    """The place that was written down last; the beginning when there is none, or it is of another epoch."""
    try:
        found = json.loads((root / CURSOR_FILE).read_bytes())
        if found["epoch"] != epoch:
            return Place()
        copied, reported = int(found["copied"]), int(found["reported"])
    except FileNotFoundError:
        return Place()
    except (ValueError, KeyError, TypeError) as exc:
        _log.warning("backup_cursor_unreadable", error=repr(exc))
        return Place()
    return Place(copied, min(copied, reported))


def write_place(root: Path, epoch: str, place: Place) -> None:
    """Make the place durable. Blocking."""
    path = root / CURSOR_FILE
    make_directories(path.parent)
    content = {"epoch": epoch, "copied": place.copied, "reported": place.reported}
    write_file(path, (json.dumps(content) + "\n").encode())
