"""A backup directory as the service leaves it: entries, chain and place."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from backup.chain import Links, identity_hash, link
from backup.chain_log import ChainWriter, Line
from backup.history import History
from backup.progress import Place, read_place, write_place
from docsave_services.contracts import FileEvent
from docsave_services.storage import BlobStore
from tests.support.crashing import Countdown
from tests.support.journal import Journal


def back_up(root: Path, journal: Journal, history: History | None = None) -> ChainWriter:
    """Copy what the journal has and the chain has not."""
    history = history or History(root, journal.blobs)
    writer = ChainWriter(root, 0)
    links = Links(writer.size, writer.view.link(writer.size))
    linked = [event for event in map(links.take, journal.events) if event]
    writer.append([_line(event, history.write(event).leaf) for event in linked])
    write_place(root, journal.epoch, Place(writer.size, writer.size))
    return writer


def back_up_event(root: Path, event: FileEvent, history: History) -> None:
    """Copy the event that follows the place, as a session does: entry, chain, place."""
    epoch = event["cursor"].partition(":")[0]
    place = read_place(root, epoch).copied
    writer = ChainWriter(root, place)
    linked = Links(place, writer.view.link(place)).take(event)
    if linked:
        writer.append([_line(linked, history.write(linked).leaf)])
        write_place(root, epoch, Place(event["event_id"], place))


def back_up_until_killed(root: Path, countdown: Countdown, event_file: str, blob_dir: str, links: str) -> None:
    """``back_up_event`` for ``kill_at_each_step``; with ``links`` "0" the disk has no hard links."""
    event, blobs = json.loads(Path(event_file).read_text()), BlobStore(Path(blob_dir))
    if links == "0":
        os.link = _no_link
    countdown.arm()
    back_up_event(root, event, History(root, blobs))


def _no_link(*_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def _line(event: FileEvent, leaf: bytes) -> Line:
    own = link(bytes.fromhex(event["previous"]), identity_hash(event))  # type: ignore[typeddict-item]
    return Line(event["event_id"], event["user_id"], event["id"], event["version"], leaf, own)
