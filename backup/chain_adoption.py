"""The chain of a directory that has none, or not enough: made from the entries that are there. Blocking.

A directory of an earlier release, or one whose chain was lost. Each JSON is read once for every ``WINDOW`` events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from backup.catalogue import file_directories
from backup.chain import NOTHING, identity_hash, leaf, link
from backup.chain_log import ChainWriter, Line
from backup.content import never, set_aside
from backup.errors import Cancelled, MalformedEvent
from backup.history import validate
from backup.names import version_of_json

WINDOW = 250_000
"""Entries held in memory at a time, some 500 bytes each."""

APPENDED = 10_000
"""Lines made durable together: a start that is killed goes on from there."""

_LINK = re.compile(r"[0-9a-f]{64}")

Found = tuple[int, int, int, bytes, bytes, bytes | None]
"""Of an entry: user, file, version, leaf, the hash of its identity, and the link that it follows if it names one."""

MISSING: Found = (0, 0, 0, NOTHING, NOTHING, None)


def usable_chain(directory: Path, copied: int) -> ChainWriter:
    """The chain to go on with after the event ``copied``. One whose line of that event is damaged is set aside: there
    is nothing to link the next entry to, and it is made anew."""
    writer = ChainWriter(directory, copied)
    if 0 < copied <= writer.size and writer.view.line(copied) is None:
        for file in (writer.view.entries_log, writer.view.roots_log):
            if file.exists():
                set_aside(file, directory)
        writer = ChainWriter(directory, copied)
    return writer


def adopt(directory: Path, writer: ChainWriter, through: int, cancelled: Callable[[], bool] = never) -> int:
    """Bring the chain up to the event ``through``; how many entries it gained.

    An entry that is missing or cannot be read gets a line that vouches for nothing. ``Cancelled`` when the service
    stops; what was done is kept.
    """
    before = writer.size
    while writer.size < through:
        last = min(through, writer.size + WINDOW)
        found = _find(directory, writer.size + 1, last, cancelled)
        while writer.size < last:
            upto = min(last, writer.size + APPENDED)
            writer.append(_lines(found, writer.size + 1, upto, writer.view.link(writer.size)))
    return writer.size - before


def _find(directory: Path, first: int, last: int, cancelled: Callable[[], bool]) -> dict[int, Found]:
    found: dict[int, Found] = {}
    for file_id, version, entry in _entries(directory, cancelled):
        if first <= entry["event_id"] <= last and (entry["id"], entry["version"]) == (file_id, version):
            place = (entry["user_id"], file_id, version, leaf(entry), identity_hash(entry), _previous(entry))
            found.setdefault(entry["event_id"], place)
    return found


def _previous(entry: Mapping[str, Any]) -> bytes | None:
    named = entry.get("previous")
    return bytes.fromhex(named) if isinstance(named, str) and _LINK.fullmatch(named) else None


def _entries(directory: Path, cancelled: Callable[[], bool]) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    for file_id, place in file_directories(directory):
        if cancelled():
            raise Cancelled
        for json_path in place.iterdir():
            version = version_of_json(json_path.name)
            entry = None if version is None else _read(json_path)
            if version is not None and entry is not None:
                yield file_id, version, entry


def _read(json_path: Path) -> Mapping[str, Any] | None:
    try:
        entry = json.loads(json_path.read_bytes())
        validate(entry)
    except (OSError, ValueError, TypeError, AttributeError, MalformedEvent):
        return None  # verify names it
    return entry  # type: ignore[no-any-return]


def _lines(found: Mapping[int, Found], first: int, last: int, tip: bytes) -> Iterator[Line]:
    for event_id in range(first, last + 1):
        user_id, file_id, version, entry_leaf, identity, _ = found.get(event_id, MISSING)
        followed = found.get(event_id + 1, MISSING)[-1] if event_id not in found else None
        # The entry after a missing one remembers its link: so those that are there still follow each other.
        tip = followed or link(tip, identity)
        yield Line(event_id, user_id, file_id, version, entry_leaf, tip)
