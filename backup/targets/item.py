"""One entry of the history on its way to another place. Blocking: call it in a thread."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from backup.catalogue import entry_at
from backup.chain import LinkedEvent, leaf
from backup.chain_log import Line
from backup.errors import MalformedEvent
from backup.history import validate
from backup.names import thinned_name
from docsave_services.contracts import FILE_DELETE
from docsave_services.errors import BlobDamaged


@dataclass(frozen=True, slots=True)
class Item:
    """The entry that ``line`` of the chain stands for. ``text`` is its JSON as it lies there, ``tombstone`` what says
    that its content was given up. ``open(scratch)`` gives a descriptor of its exact bytes, compared with nothing;
    what has to be unpacked or fetched for that lies in ``scratch`` without a name."""

    line: Line
    event: LinkedEvent
    text: bytes
    tombstone: bytes | None
    open: Callable[[Path], int] = field(repr=False, compare=False)

    @property
    def has_content(self) -> bool:
        """Whether there is content to be copied."""
        return self.tombstone is None and self.event["type"] != FILE_DELETE


def event_of(line: Line, text: bytes) -> LinkedEvent:
    """The event in the JSON ``text``; ``BlobDamaged`` unless it is the one that the chain vouches for."""
    try:
        event = cast(LinkedEvent, json.loads(text))
        validate(event)
        whose = event["event_id"], event["user_id"], event["id"], event["version"]
    except (ValueError, KeyError, TypeError, AttributeError, MalformedEvent) as exc:
        raise BlobDamaged("The entry cannot be read") from exc
    if whose != (line.event_id, line.user_id, line.file_id, line.version) or leaf(event) != line.leaf:
        raise BlobDamaged("The entry is not the one in the chain")
    return event


def read_item(root: Path, line: Line) -> Item:
    """The entry in the backup directory ``root``; ``BlobDamaged`` or ``OSError`` when it cannot be read."""
    entry = entry_at(root, line.user_id, line.file_id, line.version)
    text = entry.path.read_bytes()
    tombstone = entry.path.with_name(thinned_name(line.version)).read_bytes() if entry.thinned else None
    return Item(line, event_of(line, text), text, tombstone, entry.open)
