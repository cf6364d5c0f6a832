"""A backup directory as the service leaves it: entries, chain and place."""

from __future__ import annotations

from pathlib import Path

from backup.chain import Links, identity_hash, link
from backup.chain_log import ChainWriter, Line
from backup.history import History
from backup.progress import Place, read_place, write_place
from docsave_services.contracts import FileEvent
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


def _line(event: FileEvent, leaf: bytes) -> Line:
    own = link(bytes.fromhex(event["previous"]), identity_hash(event))  # type: ignore[typeddict-item]
    return Line(event["event_id"], event["user_id"], event["id"], event["version"], leaf, own)
