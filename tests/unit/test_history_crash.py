"""kill -9 at every step of writing an entry: nothing lost, torn or double after the catch-up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from backup.catalogue import entries_of, file_directories
from backup.chain_adoption import adopt
from backup.chain_log import ChainView, ChainWriter
from backup.history import History
from backup.progress import Place, read_place, write_place
from backup.verify import Verification
from docsave_services.contracts import FileEvent
from tests.support.chained import back_up_event, back_up_until_killed
from tests.support.crashing import kill_at_each_step
from tests.support.journal import Journal

CONTENT = b"0123456789" * 300_000  # several pieces


def _fresh(_: History, journal: Journal) -> FileEvent:
    return journal.add(CONTENT)


def _next_version(history: History, journal: Journal) -> FileEvent:
    history.write(journal.add(b"first"))
    return journal.add(CONTENT, version=2)


def _known_content(history: History, journal: Journal) -> FileEvent:
    history.write(journal.add(CONTENT, file_id=1))
    return journal.add(CONTENT, file_id=2)


def _damaged_object(history: History, journal: Journal) -> FileEvent:
    event = journal.add(CONTENT)
    item = history.root / "objects" / event["path"]
    item.parent.mkdir(parents=True)
    item.write_bytes(b"damaged")
    return event


def _deletion(history: History, journal: Journal) -> FileEvent:
    history.write(journal.add(b"first"))
    return journal.add(None, version=2)


@pytest.mark.parametrize("links", [True, False], ids=["links", "no_links"])
@pytest.mark.parametrize(
    ("before", "steps_min"),
    [(_fresh, 25), (_next_version, 22), (_known_content, 18), (_damaged_object, 25), (_deletion, 12)],
)
def test_a_kill_at_any_step_is_healed_by_the_catch_up(
    tmp_path: Path, before: Callable[[History, Journal], FileEvent], steps_min: int, links: bool
) -> None:
    """The next process finds no torn content, makes the entry whole, and ends with what an undisturbed run gives."""
    journal = Journal(tmp_path)
    runs = tmp_path / "runs"
    (runs / "0").mkdir(parents=True)
    event = before(History(runs / "0", journal.blobs), journal)
    earlier = event["event_id"] - 1
    adopt(runs / "0", ChainWriter(runs / "0", 0), earlier)
    write_place(runs / "0", journal.epoch, Place(earlier, earlier))
    (tmp_path / "event.json").write_text(json.dumps(event))
    arguments = [str(tmp_path / "event.json"), str(journal.blobs.root), str(int(links))]
    steps = kill_at_each_step(runs, back_up_until_killed, *arguments)
    assert steps >= steps_min
    expected = _state(runs / str(steps), event)
    for number in range(1, steps):
        root = runs / str(number)
        assert _state(root, event) in (None, expected), f"torn after a kill at step {number}"
        history = History(root, journal.blobs)
        history.sweep()
        back_up_event(root, event, history)
        assert _state(root, event) == expected, f"not healed after a kill at step {number}"
        assert list(root.rglob(".tmp-*")) == []
        report = Verification(root, copied=event["event_id"]).run()
        assert (report["damaged"], report["missing"], report["newer"]) == ([], [], 0)
        assert ChainView(root).head() == ChainView(runs / str(steps)).head()
        assert read_place(root, journal.epoch).copied == event["event_id"]
        assert len(list((root / "history").rglob("v00000?*"))) == _files_of(expected)


def _state(root: Path, event: FileEvent) -> list[tuple[str, bytes]] | None:
    """Every complete entry with its content; None while the event's own is not complete. Fails when one is torn."""
    for content in root.rglob("v*_*"):
        assert content.read_bytes() in (CONTENT, b"first")
    entries = [entry for file_id, directory in file_directories(root) for entry in entries_of(file_id, directory)]
    assert all(entry.event for entry in entries)
    if (event["id"], event["version"]) not in {(entry.file_id, entry.version) for entry in entries}:
        return None
    found = []
    for entry in entries:
        found.append((entry.path.relative_to(root).as_posix(), entry.path.read_bytes()))
        if entry.has_content:
            assert entry.content is not None
            found.append((entry.content.relative_to(root).as_posix(), entry.content.read_bytes()))
    return sorted(found)


def _files_of(state: list[tuple[str, bytes]] | None) -> int:
    return len(state or [])
