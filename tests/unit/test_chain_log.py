"""The chain on disk: appended, read back, torn, lost and made anew."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from backup import chain_log
from backup.chain import NOTHING, Links, identity_hash, leaf, link, root, root_by_path
from backup.chain_adoption import adopt, usable_chain
from backup.chain_log import ENTRIES_LOG, LINE_BYTES, ROOTS_LOG, ChainView, ChainWriter, Line
from backup.errors import Cancelled
from backup.history import History
from docsave_services.errors import BlobDamaged
from tests.support.journal import Journal


def line(event_id: int) -> Line:
    return Line(event_id, 1, 2, event_id, leaf({"n": event_id}), leaf({"l": event_id}))


def lines(first: int, last: int) -> list[Line]:
    return [line(n) for n in range(first, last + 1)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_log, "BLOCK", 8)
    monkeypatch.setattr(ChainView.block_root, "__defaults__", (8,))


def test_lines_are_read_back_and_every_head_and_proof_fits(tmp_path: Path) -> None:
    """Whatever the steps of appending; also against an earlier head."""
    writer = ChainWriter(tmp_path, 0)
    for first, last in [(1, 1), (2, 7), (8, 30), (31, 31), (32, 40)]:
        writer.append(lines(first, last))
    view = ChainView(tmp_path)
    assert list(view.lines(1, 40)) == lines(1, 40)
    assert (tmp_path / ENTRIES_LOG).stat().st_size == 40 * LINE_BYTES
    assert (tmp_path / ROOTS_LOG).read_text().count("\n") == 5
    for size in range(1, 41):
        expected = root([item.leaf for item in lines(1, size)])
        assert view.head(size) == {"size": size, "root": expected.hex()}
        for event_id in {1, size // 2 + 1, size}:
            siblings, top = view.way(event_id, size)
            assert top == expected
            assert root_by_path(line(event_id).leaf, event_id - 1, size, siblings) == expected
    assert view.head()["size"] == 40
    assert view.line(41) is None


def test_what_is_there_is_not_appended_again_and_holes_are_refused(tmp_path: Path) -> None:
    """A repeat changes nothing; a line that does not follow is a mistake of ours."""
    writer = ChainWriter(tmp_path, 0)
    writer.append(lines(1, 5))
    writer.append(lines(3, 6))
    assert list(writer.view.lines(1, 9)) == lines(1, 6)
    with pytest.raises(ValueError, match="holes"):
        writer.append(lines(8, 8))


@pytest.mark.parametrize("tail", [b"0000", b"\0" * LINE_BYTES, line(6).text[:-1], line(7).text + line(8).text])
def test_a_torn_last_line_is_dropped_and_written_again(tmp_path: Path, tail: bytes) -> None:
    """Cut, all zeros after a power cut, or not the one that follows: the entry comes again."""
    writer = ChainWriter(tmp_path, 0)
    writer.append(lines(1, 5))
    with (tmp_path / ENTRIES_LOG).open("ab") as file:
        file.write(tail)
    assert ChainView(tmp_path).line(6) is None
    again = ChainWriter(tmp_path, 3)
    assert again.size == 5
    again.append(lines(6, 9))
    assert list(again.view.lines(1, 20)) == lines(1, 9)
    assert again.view.head(9)["root"] == root([item.leaf for item in lines(1, 9)]).hex()


def test_a_line_that_was_vouched_for_is_never_dropped(tmp_path: Path) -> None:
    """Damage below the durable place is shown, not healed by forgetting."""
    ChainWriter(tmp_path, 0).append(lines(1, 5))
    with (tmp_path / ENTRIES_LOG).open("r+b") as file:
        file.seek(2 * LINE_BYTES)
        file.write(b"x")
    assert ChainWriter(tmp_path, 5).size == 5
    assert ChainView(tmp_path).line(3) is None
    with pytest.raises(BlobDamaged):
        ChainView(tmp_path).head()


def test_a_damaged_line_does_not_end_the_copying(tmp_path: Path) -> None:
    """Neither when its block gets full, nor when it is the one to link to: then the chain is made anew, and the
    damaged one kept."""
    writer = ChainWriter(tmp_path, 0)
    writer.append(lines(1, 5))
    log = tmp_path / ENTRIES_LOG
    log.write_bytes(log.read_bytes().replace(b"0", b"x", 1))
    writer.append(lines(6, 17))
    assert (writer.size, writer.view.kept_root(0)) == (17, None)
    assert usable_chain(tmp_path, 17).size == 17
    log.write_bytes(log.read_bytes()[:-1] + b"x")
    damaged = log.read_bytes()
    assert usable_chain(tmp_path, 17).size == 0
    assert (tmp_path / "damaged" / ENTRIES_LOG).read_bytes() == damaged
    assert usable_chain(tmp_path, 0).size == 0


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_failed_append_adds_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A full disk in the middle of a line, or an fsync that fails: the lines are written again, from the start."""
    writer = ChainWriter(tmp_path, 0)
    writer.append(lines(1, 4))
    real = os.pwrite

    def fails(fd: int, *args: Any) -> int:
        if args:
            real(fd, bytes(args[0])[:50], args[1])
        raise OSError(28 if args else 5, "no")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fails)
        with pytest.raises(OSError, match="no"):
            writer.append(lines(5, 9))
    assert writer.size == 4
    writer.append(lines(5, 9))
    assert list(ChainView(tmp_path).lines(1, 20)) == lines(1, 9)
    assert ChainView(tmp_path).kept_root(0) == root([item.leaf for item in lines(1, 8)])


@pytest.mark.parametrize("lost", [[ROOTS_LOG], [ENTRIES_LOG, ROOTS_LOG]])
def test_what_is_lost_of_the_chain_is_made_anew_as_it_was(tmp_path: Path, lost: list[Path]) -> None:
    """The roots from the lines, the lines from the entries."""
    directory, journal = tmp_path / "backup", Journal(tmp_path)
    links, writer, history = Links(0, NOTHING), ChainWriter(directory, 0), History(directory, journal.blobs)
    for number in range(20):
        event = links.take(journal.add(b"%d" % (number % 3), file_id=number % 4, version=number + 1))
        assert event
        written = history.write(event)
        own = link(bytes.fromhex(event["previous"]), identity_hash(event))
        writer.append([Line(event["event_id"], 3, event["id"], event["version"], written.leaf, own)])
    before = {path: (directory / path).read_bytes() for path in (ENTRIES_LOG, ROOTS_LOG)}
    for path in lost:
        (directory / path).unlink()
    again = ChainWriter(directory, 20)
    assert adopt(directory, again, 20) == (20 if ENTRIES_LOG in lost else 0)
    again.append([])
    assert {path: (directory / path).read_bytes() for path in before} == before


def test_an_entry_that_is_missing_when_the_chain_is_made_is_not_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory of an earlier release, with an entry lost, another torn: the others get their place, in windows."""
    monkeypatch.setattr("backup.chain_adoption.WINDOW", 4)
    monkeypatch.setattr("backup.chain_adoption.APPENDED", 3)
    directory, journal = tmp_path / "backup", Journal(tmp_path)
    directory.mkdir()
    history = History(directory, journal.blobs)
    for number in range(1, 11):
        history.write(journal.add(b"x", file_id=number))
    (directory / "history/3/3/v000001.json").unlink()
    torn = directory / "history/3/7/v000001.json"
    torn.chmod(0o644)
    torn.write_text('{"event_id": 7')
    writer = ChainWriter(directory, 10)
    assert adopt(directory, writer, 10) == 10
    found = list(writer.view.lines(1, 10))
    assert [item and item.is_vouched_for for item in found] == [n not in (3, 7) for n in range(1, 11)]
    assert [item and item.file_id for item in found if item and item.is_vouched_for] == [1, 2, 4, 5, 6, 8, 9, 10]
    with pytest.raises(Cancelled):
        adopt(directory, ChainWriter(directory, 10), 11, lambda: True)


def test_a_proof_out_of_a_million_entries_takes_milliseconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty hashes, from one block of lines and the blocks' roots. The file is sparse where nobody looks."""
    monkeypatch.setattr(chain_log, "BLOCK", 1024)
    monkeypatch.setattr(ChainView.block_root, "__defaults__", (1024,))
    full, rest = divmod(1_000_000, 1024)
    writer = ChainWriter(tmp_path, 0)
    roots = [leaf({"block": n}) for n in range(full)]
    roots[500] = root([item.leaf for item in lines(500 * 1024 + 1, 501 * 1024)])
    (tmp_path / ROOTS_LOG).write_text("".join(f"{item.hex()}\n" for item in roots))
    with (tmp_path / ENTRIES_LOG).open("wb") as file:
        for first, count in [(500 * 1024 + 1, 1024), (full * 1024 + 1, rest)]:
            file.seek((first - 1) * LINE_BYTES)
            file.write(b"".join(line(n).text for n in range(first, first + count)))
    assert writer.view.size() == 1_000_000
    began = time.monotonic()
    siblings, top = writer.view.way(500 * 1024 + 77, 1_000_000)
    assert time.monotonic() - began < 0.5
    assert len(siblings) == 20
    assert root_by_path(line(500 * 1024 + 77).leaf, 500 * 1024 + 76, 1_000_000, siblings) == top
