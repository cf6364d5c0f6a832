"""Verification with the chain: each way to tamper with the history is found and named; what can be is repaired."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup.catalogue import file_directories
from backup.chain import Head
from backup.chain_adoption import adopt
from backup.chain_log import ENTRIES_LOG, LINE_BYTES, ROOTS_LOG, ChainView, ChainWriter
from backup.history import History
from backup.noted_head import note_head, noted_head
from backup.pace import Pace
from backup.repair import Repair, lines_of
from backup.verify import Report, Share, Verification, all_findings
from backup.verify_schedule import SHARE_SECONDS, SHARES_A_DAY, STATE_FILE, Schedule
from tests.support.chained import back_up
from tests.support.journal import Journal

Tamper = Callable[[Path], object]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "store")


@pytest.fixture
def root(tmp_path: Path, journal: Journal) -> Path:
    """Ten events: file 7 with four versions, the last a deletion, and six files more."""
    for version in (1, 2, 3):
        journal.add(b"%d" % version, version=version, name=f"{version}.txt")
    journal.add(None, version=4)
    for file_id in range(10, 16):
        journal.add(b"content %d" % (file_id // 2), file_id=file_id, user_id=file_id % 2 + 1)
    path = tmp_path / "backup"
    path.mkdir()
    back_up(path, journal)
    return path


def json_of(root: Path, file_id: int, version: int = 1) -> Path:
    path = next(root.glob(f"history/*/{file_id}/v{version:06d}.json"))
    path.chmod(0o644)
    return path


def content_of(root: Path, file_id: int, version: int = 1) -> Path:
    path = next(root.glob(f"history/*/{file_id}/v{version:06d}_*"))
    path.chmod(0o644)
    return path


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def found(report: Report) -> list[tuple[str, int, int]]:
    return sorted((f["kind"], f["file_id"], f["version"]) for f in all_findings(report))


def verify(root: Path, **options: Any) -> Report:
    return Verification(root, copied=10, **options).run()


def swap(first: Path, second: Path) -> None:
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def forged(root: Path, **fields: Any) -> None:
    """An entry that was never made, with content."""
    directory = root / "history/3/7"
    shutil.copy(json_of(root, 7, 3), directory / "v000005.json")
    shutil.copy(content_of(root, 7, 3), directory / "v000005_20261124T101500Z_3.txt")
    edit(directory / "v000005.json", version=5, **fields)


def exchanged(root: Path) -> None:
    """Two changes of one file in the other order."""
    one, two = json_of(root, 7, 1), json_of(root, 7, 2)
    first, second = json.loads(one.read_text())["event_id"], json.loads(two.read_text())["event_id"]
    edit(one, event_id=second)
    edit(two, event_id=first)


def removed(root: Path, file_id: int, version: int) -> None:
    for path in root.glob(f"history/*/{file_id}/v{version:06d}*"):
        path.unlink()


def in_log(root: Path, place: int, text: bytes) -> None:
    with (root / ENTRIES_LOG).open("r+b") as file:
        file.seek(place)
        file.write(text)


def test_an_untouched_history_is_sound(root: Path) -> None:
    """Every entry checked, the head that of the chain."""
    report = verify(root)
    assert (report["checked"], found(report), report["newer"]) == (10, [], 0)
    assert report["head"] == ChainView(root).head()
    assert report["bytes"] == sum(len(b) for b in (b"1", b"2", b"3", b"content 5", b"content 6", b"content 7"))


def test_only_shared_content_is_remembered(root: Path) -> None:
    """Three contents have two entries each; a history of a million files has few such."""
    verification = Verification(root, copied=10)
    verification.run()
    assert len(verification._known) == 3


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (lambda root: edit(json_of(root, 7, 2), name="other.txt"), [("event", 7, 2)]),
        (lambda root: edit(json_of(root, 7, 2), folder="Other"), [("event", 7, 2)]),
        (lambda root: edit(json_of(root, 7, 2), more=1), [("event", 7, 2)]),
        (lambda root: edit(json_of(root, 7, 2), previous="0" * 64), [("event", 7, 2)]),
        (lambda root: edit(json_of(root, 7, 2), stored={"as": "patch"}), []),
        (lambda root: json_of(root, 7, 2).write_text("{"), [("event", 7, 2)]),
        (lambda root: removed(root, 7, 2), [("event", 7, 2)]),
        (lambda root: removed(root, 7, 4), [("event", 7, 4)]),
        (lambda root: shutil.rmtree(root / "history/1"), [("event", n, 1) for n in (10, 12, 14)]),
        (lambda root: forged(root, event_id=5), [("event", 7, 5)]),
        (lambda root: forged(root, event_id=3), [("event", 7, 5)]),
        (exchanged, [("event", 7, 1), ("event", 7, 2)]),
        (lambda root: swap(json_of(root, 10), json_of(root, 12)), [("event", 10, 1), ("event", 12, 1)]),
        (lambda root: (root / "history/1/10").rename(root / "history/2/10"), [("event", 10, 1)]),
        (lambda root: content_of(root, 15).unlink(), [("content", 15, 1)]),
        (lambda root: in_log(root, 3 * LINE_BYTES + 90, b"f00d"), [("chain", 0, 0), ("event", 7, 4)]),
        (lambda root: in_log(root, 3 * LINE_BYTES, b"x"), [("chain", 0, 0)] * 2 + [("event", 7, 4)]),
        (lambda root: (root / ENTRIES_LOG).write_bytes((root / ENTRIES_LOG).read_bytes()[:-1]), [("chain", 0, 0)] * 2),
    ],
)
def test_each_way_to_tamper_is_found_and_named(root: Path, tamper: Tamper, expected: list[Any]) -> None:
    """Changed, missing, added, reordered, moved to another owner, or the chain itself."""
    head = ChainView(root).head()
    tamper(root)
    assert found(verify(root, noted=head)) == expected


def test_an_entry_newer_than_the_chain_is_left_to_the_journal(root: Path, journal: Journal) -> None:
    """It may be a copy that is being made; the same number twice is none."""
    forged(root, event_id=11)
    verification = Verification(root, copied=10)
    report = verification.run()
    assert (found(report), report["newer"]) == ([], 1)
    assert verification.newer[11]["path"] == "history/3/7/v000005.json"


class Growing:
    """While a pass begins six files more are copied, 20 to 25; the chain gets so many of their lines before each."""

    def __init__(self, root: Path, journal: Journal, lines: dict[int, int]) -> None:
        self._log, self._lines = root / ENTRIES_LOG, lines
        self._root, self._journal = root, journal

    def directories(self, root: Path) -> Iterator[tuple[int, Path]]:
        """In the place of ``file_directories``."""
        for file_id in range(20, 26):
            self._journal.add(b"content %d" % file_id, file_id=file_id)
        back_up(self._root, self._journal)
        whole = self._log.read_bytes()
        for file_id, directory in file_directories(root):
            self._log.write_bytes(whole[: (10 + self._lines.get(file_id, 0)) * LINE_BYTES])
            yield file_id, directory


@pytest.mark.parametrize(
    ("lines", "newer"),
    [
        (dict.fromkeys(range(20, 26), 6), []),
        ({23: 3, 24: 3, 25: 3}, [14, 15, 16]),
    ],
)
@pytest.mark.parametrize("tampered", [None, 21])
def test_what_is_copied_during_a_pass_is_compared_with_the_chain_as_it_grows(
    root: Path,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    lines: dict[int, int],
    newer: list[int],
    tampered: int | None,
) -> None:
    """However much that is: an hour of it was told as moved once there was more than can be remembered."""
    monkeypatch.setattr("backup.verify.NEWER_MAX", 3)
    growing = Growing(root, journal, lines)

    def directories(at: Path) -> Iterator[tuple[int, Path]]:
        for file_id, directory in growing.directories(at):
            if tampered and file_id == 20:
                edit(json_of(root, tampered), name="other.txt")
            yield file_id, directory

    monkeypatch.setattr("backup.verify.file_directories", directories)
    verification = Verification(root, copied=10)
    report = verification.run()
    assert found(report) == ([("event", tampered, 1)] if tampered else [])
    assert (report["checked"], sorted(verification.newer)) == (16, newer)


def test_a_history_rewritten_with_its_chain_does_not_have_the_noted_head(
    root: Path, journal: Journal, tmp_path: Path
) -> None:
    """Whoever controls the directory can make a chain that fits; not one with the head that was noted elsewhere."""
    note_head(tmp_path, "store", ChainView(root).head())
    noted = noted_head(tmp_path, "store")
    assert noted == ChainView(root).head()
    assert noted_head(tmp_path, "other") is None
    edit(json_of(root, 7, 2), name="other.txt", previous="1" * 64)
    shutil.rmtree(root / "chain")
    adopt(root, ChainWriter(root, 10), 10)
    assert next(f["kind"] for f in all_findings(verify(root, noted=noted))) == "chain"
    # And the links of all that came after betray it.
    assert [f for f in found(verify(root)) if f[1:] != (7, 1)] == found(verify(root))
    assert len(found(verify(root))) == 9


def test_a_kept_root_that_is_wrong_is_found(root: Path, journal: Journal) -> None:
    """Proofs are made from them."""
    for number in range(11, 1025):
        journal.add(None, file_id=number + 1000, version=1)
    back_up(root, journal)
    assert found(Verification(root).run()) == []
    with (root / ROOTS_LOG).open("r+b") as file:
        file.write(b"beef")
    assert found(Verification(root).run()) == [("chain", 0, 0)]


def test_shares_together_read_everything_once(root: Path) -> None:
    """Each file in one of them, whatever is wrong with it."""
    removed(root, 12, 1)
    reports = [verify(root, share=Share(number, 4)) for number in range(4)]
    assert sum(report["checked"] for report in reports) == 9
    assert sorted(f for report in reports for f in found(report)) == [("event", 12, 1)]


def test_the_schedule_reads_each_share_once_in_so_many_days(tmp_path: Path) -> None:
    """One an hour; what was missed in a stop is made up for, at most one round; findings stay until they are gone."""
    now = datetime(2026, 11, 24, tzinfo=UTC)
    schedule = Schedule(tmp_path, 1, lambda: now)
    empty: Any = {"damaged": [], "missing": []}
    bad: Any = {"damaged": [{"file_id": 24, "version": 1, "path": "", "kind": "content", "problem": ""}], "missing": []}
    assert schedule.due() is None
    for number in range(SHARES_A_DAY):
        assert schedule.due() is None
        now += timedelta(seconds=SHARE_SECONDS)
        share = schedule.due()
        assert share == Share(number, SHARES_A_DAY)
        schedule.done(share, bad if number == 0 else empty)
    current = schedule.current()
    assert current is not None
    assert [f["file_id"] for f in current.findings] == [24]
    now += timedelta(hours=2)
    for number in (0, 1):
        share = schedule.due()
        assert share == Share(number, SHARES_A_DAY)
        schedule.done(share, empty)
    assert schedule.due() is None
    current = schedule.current()
    assert current is not None
    assert current.findings == ()
    now += timedelta(days=90)
    share = schedule.due()
    assert share == Share(2, SHARES_A_DAY)
    schedule.done(share, empty)
    assert schedule.due() is None
    now -= timedelta(days=3650)  # a clock that was wrong
    assert schedule.due() is None
    now += timedelta(hours=1)
    assert schedule.due() == Share(3, SHARES_A_DAY)
    assert Schedule(tmp_path, 2, lambda: now).due() is None
    (tmp_path / STATE_FILE).write_text("{")
    assert schedule.due() is None


def test_a_pace_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes come no faster than was said, however they are counted."""
    slept: list[float] = []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return 100 + sum(slept)

        @staticmethod
        def sleep(seconds: float) -> None:
            slept.append(seconds)

    monkeypatch.setattr("backup.pace._time", Clock)
    pace = Pace(1000)
    for _ in range(5):
        pace.took(500)
    assert sum(slept) == pytest.approx(2.5)
    Pace().took(10**12)
    assert sum(slept) == pytest.approx(2.5)


def repaired(root: Path, journal: Journal, events: bool = True) -> Report:
    report = verify(root, blobs=journal.blobs)
    known = {event["event_id"]: event for event in journal.events} if events else {}
    Repair(History(root, journal.blobs), journal.blobs, lines_of(root, report), known).run(report)
    return report


def set_aside_files(root: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (root / "damaged").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("tamper", "kept"),
    [
        (lambda root: content_of(root, 7, 2).write_bytes(b"x"), [b"x", b"x"]),
        (lambda root: content_of(root, 7, 2).unlink(), []),
        (lambda root: removed(root, 7, 2), []),
        (lambda root: json_of(root, 7, 2).write_text("{"), [b"{"]),
        (lambda root: content_of(root, 10).write_bytes(b"x"), [b"x", b"x", b"x"]),  # shared with file 11
    ],
)
def test_copies_and_events_are_repaired_as_they_were(
    root: Path, journal: Journal, tamper: Tamper, kept: list[bytes]
) -> None:
    """Byte for byte, from the blob store and the journal; what was there is set aside."""
    before = {p: p.read_bytes() for p in (root / "history").rglob("*") if p.is_file()}
    tamper(root)
    report = repaired(root, journal)
    assert (found(report), bool(report["repaired"])) == ([], True)
    assert {p: p.read_bytes() for p in (root / "history").rglob("*") if p.is_file()} == before
    assert set_aside_files(root) == kept
    assert found(verify(root)) == []


@pytest.mark.parametrize("damage", [b"x", b"y", None])
def test_a_blob_is_repaired_from_its_copy(root: Path, journal: Journal, damage: bytes | None) -> None:
    """Damaged with the same size or missing; every version of the content is served again."""
    blob = journal.blob_path(journal.events[2])
    blob.chmod(0o644)
    if damage is None:
        blob.unlink()
    else:
        blob.write_bytes(damage)
    report = repaired(root, journal)
    assert (found(report), len(report["repaired"])) == ([], 1)
    assert blob.read_bytes() == b"3"
    assert set_aside_files(journal.blobs.root) == ([] if damage is None else [damage])


def test_an_old_blob_that_is_gone_is_no_finding(root: Path, journal: Journal) -> None:
    """The sweeper takes what no file needs any more; what is left of a file that was removed for good, too."""
    journal.blob_path(journal.events[0]).unlink()
    journal.add(None, file_id=10, version=2, user_id=1, permanent=True)
    journal.add(None, file_id=11, version=2, user_id=2, permanent=True)
    back_up(root, journal)
    journal.blob_path(journal.events[4]).unlink()
    assert found(Verification(root, blobs=journal.blobs).run()) == []


def test_what_nothing_whole_is_left_of_stays_in_the_report_and_in_its_place(root: Path, journal: Journal) -> None:
    """Copy and blob damaged, an event that the journal cannot give, one that was added: each says why."""
    content_of(root, 7, 3).write_bytes(b"x")
    blob = journal.blob_path(journal.events[2])
    blob.chmod(0o644)
    blob.write_bytes(b"y")
    json_of(root, 7, 1).write_text("{")
    forged(root, event_id=5)
    report = repaired(root, journal, events=False)
    assert found(report) == [("blob", 7, 3), ("content", 7, 3), ("event", 7, 1), ("event", 7, 5)]
    assert all("; not repaired: cannot_repair: " in f["problem"] for f in all_findings(report))
    assert report["repaired"] == []
    assert content_of(root, 7, 3).read_bytes() == b"x"
    assert blob.read_bytes() == b"y"
    assert json_of(root, 7, 1).read_text() == "{"


def test_an_event_of_the_first_release_is_repaired_without_the_fields_it_never_had(
    tmp_path: Path, journal: Journal
) -> None:
    """The chain knows what it was."""
    root = tmp_path / "old"
    root.mkdir()
    event = journal.add(b"x")
    History(root, journal.blobs).write(event)
    path = json_of(root, 7)
    old = {k: v for k, v in event.items() if k not in ("folder", "labels", "permanent")}
    path.write_text(json.dumps(old, indent=2) + "\n")
    adopt(root, ChainWriter(root, 1), 1)
    before = path.read_bytes()
    path.write_text("")
    report = Verification(root, copied=1).run()
    Repair(History(root, journal.blobs), journal.blobs, lines_of(root, report), {1: event}).run(report)
    assert (found(report), path.read_bytes()) == ([], before)


def test_nothing_is_noted_of_a_head_that_cannot_be_read(tmp_path: Path) -> None:
    """A note that is torn is as none."""
    head: Head = {"size": 1, "root": "00"}
    note_head(tmp_path, "store", head)
    (tmp_path / "backup-head.json").write_text("{")
    assert noted_head(tmp_path, "store") is None
