"""Copying several events at once, in any order, with failures; the place in the journal; the reports."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eventlet
import pytest
from eventlet.event import Event

from backup import copier as copier_module
from backup import reporter as reporter_module
from backup import trouble as trouble_module
from backup.copier import COPIES_AT_ONCE, Copier
from backup.errors import Cancelled, DirectoryGone
from backup.history import Written
from backup.progress import CURSOR_FILE, Contiguous, Place, read_place, write_place
from backup.reporter import Reporter, ReportsLost
from docsave_services.contracts import FileEvent
from tests.support.journal import EPOCH, Journal
from tests.support.waiting import wait_until


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


@pytest.fixture
def start() -> Iterator[Callable[..., Copier]]:
    """A running copier; stopped at the end."""
    running: list[tuple[Copier, list[Any]]] = []

    def _start(write: Any, safe: Any = lambda _: None) -> Copier:
        copier = Copier(write, safe)
        running.append((copier, [eventlet.spawn(copier.work) for _ in range(COPIES_AT_ONCE)]))
        return copier

    yield _start
    for copier, threads in running:
        copier.stop()
        for thread in threads:
            thread.kill()


def test_the_place_is_below_the_first_hole() -> None:
    """Done in any order, repeated or early: the place is the highest number with none missing before it."""
    numbers = list(range(6, 200))
    random.Random(5).shuffle(numbers)
    place = Contiguous(5)
    done: set[int] = set(range(6))
    for number in numbers:
        place.done(number)
        place.done(number)
        done.add(number)
        assert place.place == next(n for n in range(300) if n not in done) - 1
    assert place.place == 199
    assert place._done == set()


def test_the_durable_place_is_read_back(tmp_path: Path) -> None:
    """What was written is found again by a reader of the same epoch only."""
    write_place(tmp_path, EPOCH, Place(7, 5))
    assert read_place(tmp_path, EPOCH) == Place(7, 5)
    assert read_place(tmp_path, EPOCH.replace("1", "9")) == Place()
    assert [p.name for p in (tmp_path / "state").iterdir()] == ["cursor.json"]


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"epoch": "x"', '{"epoch": 1, "copied": "x"}'])
def test_without_a_readable_place_the_reading_begins_at_the_start(tmp_path: Path, content: str | None) -> None:
    """A lost or damaged cursor costs time, never a version."""
    if content is not None:
        (tmp_path / CURSOR_FILE).parent.mkdir()
        (tmp_path / CURSOR_FILE).write_text(content)
    assert read_place(tmp_path, EPOCH) == Place()


def test_a_failing_event_does_not_hold_up_the_others(
    journal: Journal, start: Callable[..., Copier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown with its tries and its error, tried again, and counted once it succeeds."""
    monkeypatch.setattr(copier_module, "FIRST_PAUSE_SECONDS", 0.01)
    broken = True

    def write(event: FileEvent) -> Written:
        if event["event_id"] == 2 and broken:
            raise OSError(28, "No space left on device")
        return Written(repeated=False)

    safe: list[int] = []
    copier = start(write, lambda event: safe.append(event["event_id"]))
    for number in range(1, 21):
        copier.take(journal.add(b"%d" % number, file_id=number))
    wait_until(lambda: len(safe) == 19 and copier.failing[2]["tries"] >= 3)
    failing = copier.failing[2]
    assert (failing["file_id"], failing["version"]) == (2, 1)
    assert failing["error"] == "io_error: No space left on device"
    assert copier.waiting == 1
    broken = False
    wait_until(lambda: 2 in safe)
    assert (copier.failing, copier.waiting, copier.copied) == ({}, 0, 20)


@pytest.mark.parametrize(("code", "state"), [(28, "disk_full"), (122, "disk_full"), (30, "read_only")])
def test_a_disk_that_takes_nothing_is_tried_by_one_copy_at_a_time(
    journal: Journal, start: Callable[..., Copier], monkeypatch: pytest.MonkeyPatch, code: int, state: str
) -> None:
    """With growing pauses, and one state for all; with room again everything is copied."""
    monkeypatch.setattr(copier_module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(trouble_module, "FIRST_PAUSE_SECONDS", 0.01)
    full = True
    tries: list[float] = []

    def write(_: FileEvent) -> Written:
        if full:
            tries.append(time.monotonic())
            raise OSError(code, "no")
        return Written(repeated=False)

    safe: list[int] = []
    copier = start(write, lambda event: safe.append(event["event_id"]))
    for number in range(1, 13):
        copier.take(journal.add(b"%d" % number, file_id=number))
    wait_until(lambda: len(tries) >= 6)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert all(gap >= 0.009 for gap in gaps)
    assert gaps[-1] > 4 * gaps[0]
    assert (copier.trouble.state, copier.waiting, safe) == (state, 12, [])
    full = False
    wait_until(lambda: len(safe) == 12)
    assert (copier.trouble.state, copier.trouble.reason, copier.failing) == (None, None, {})


def test_a_disk_that_takes_small_files_only_is_not_filled_again_and_again(
    journal: Journal, start: Callable[..., Copier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The large one waits longer each time, whatever the small ones do."""
    monkeypatch.setattr(copier_module, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(trouble_module, "FIRST_PAUSE_SECONDS", 0.001)
    tries: list[float] = []

    def write(event: FileEvent) -> Written:
        if event["event_id"] == 1:
            tries.append(time.monotonic())
            raise OSError(28, "no")
        eventlet.sleep(0.002)
        return Written(repeated=False)

    copier = start(write)
    copier.take(journal.add(b"large"))
    small = [journal.add(b"%d" % number, file_id=number) for number in range(2, 20)]
    for _ in range(10):
        for event in small:
            copier.take(event)
    wait_until(lambda: len(tries) == 5)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps[-1] > 0.15
    wait_until(lambda: copier.copied == 180)


def test_stopping_does_not_wait_for_a_full_disk(journal: Journal, start: Callable[..., Copier]) -> None:
    """Copies that wait for room are given up at once."""
    tries: list[int] = []

    def write(event: FileEvent) -> Written:
        tries.append(event["event_id"])
        raise OSError(28, "no")

    copier = Copier(write, lambda _: None)
    threads = [eventlet.spawn(copier.work) for _ in range(COPIES_AT_ONCE)]
    for number in range(1, 13):
        copier.take(journal.add(b"%d" % number, file_id=number))
    wait_until(lambda: len(tries) >= 2)
    copier.stop()
    with eventlet.Timeout(0.3):
        for thread in threads:
            thread.wait()


def test_copies_run_together_but_never_two_of_the_same_content(journal: Journal, start: Callable[..., Copier]) -> None:
    """Four at a time; equal content one after the other, so that the object is written once."""
    under_way: list[str] = []
    together: list[str] = []
    most = 0

    def write(event: FileEvent) -> Written:
        nonlocal most
        together.extend(sha256 for sha256 in under_way if sha256 == event["sha256"])
        under_way.append(event["sha256"])
        most = max(most, len(under_way))
        eventlet.sleep(0.002)
        under_way.remove(event["sha256"])
        return Written(repeated=False)

    copier = start(write)
    for number in range(60):
        copier.take(journal.add(b"%d" % (number // 10), file_id=number))
    wait_until(lambda: copier.copied == 60)
    assert most == COPIES_AT_ONCE
    assert together == []


def test_taking_blocks_at_the_limit(
    journal: Journal, start: Callable[..., Copier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays bounded: what is not taken stays in the journal."""
    monkeypatch.setattr(copier_module, "WAITING_MAX", 3)
    gate = Event()

    def write(_: FileEvent) -> Written:
        gate.wait()
        return Written(repeated=False)

    copier = start(write)
    taken: list[int] = []

    def take_all() -> None:
        for number in range(5):
            copier.take(journal.add(b"%d" % number))
            taken.append(number)

    thread = eventlet.spawn(take_all)
    wait_until(lambda: len(taken) == 3)
    eventlet.sleep(0)
    assert len(taken) == 3
    gate.send()
    thread.wait()
    wait_until(lambda: copier.copied == 5)


def test_a_directory_that_is_gone_ends_the_work(journal: Journal) -> None:
    """It is not one event's failure: nothing more may be written."""

    def write(_: FileEvent) -> Written:
        raise DirectoryGone("gone")

    copier = Copier(write, lambda _: None)
    copier.take(journal.add())
    with pytest.raises(DirectoryGone):
        copier.work()


def test_a_cancelled_copy_is_neither_safe_nor_failing(journal: Journal) -> None:
    """The next start takes it from the journal again."""
    safe: list[FileEvent] = []

    def write(_: FileEvent) -> Written:
        copier.stop()
        raise Cancelled

    copier = Copier(write, safe.append)
    copier.take(journal.add())
    copier.work()
    assert (safe, copier.failing, copier.copied) == ([], {}, 0)


def test_reports_are_batched_and_repeated_until_taken(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """One item a file with its newest version; confirmed only after the call succeeded."""
    monkeypatch.setattr(reporter_module, "FIRST_PAUSE_SECONDS", 0.01)
    calls: list[list[dict[str, int]]] = []

    def protected(items: list[dict[str, int]], through: str) -> None:
        calls.append(items)
        if len(calls) < 3:
            raise OSError("no broker")

    confirmed: list[int] = []
    reporter = Reporter(protected, confirmed.extend, lambda: f"{EPOCH}:0")
    for version, file_id in [(1, 1), (2, 1), (1, 2), (3, 1)]:
        reporter.add(journal.add(version=version, file_id=file_id))
    thread = eventlet.spawn(reporter.run)
    try:
        wait_until(lambda: confirmed == [1, 2, 3, 4])
    finally:
        thread.kill()
    assert calls == [[{"file_id": 1, "version": 3}, {"file_id": 2, "version": 1}]] * 3
    assert reporter.error is None


def test_reports_that_did_not_fit_are_asked_for_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue never blocks the copying; the journal is read again instead."""
    monkeypatch.setattr(reporter_module, "QUEUE_MAX", 2)
    confirmed: list[int] = []
    reporter = Reporter(lambda items, through: None, confirmed.extend, lambda: f"{EPOCH}:0")
    for number in range(3):
        reporter.add(journal.add(file_id=number))
    with pytest.raises(ReportsLost):
        reporter.run()
    assert confirmed == [1, 2]


def test_the_place_is_reported_at_the_start_when_it_moved_and_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, for a new directory takes back what the last one claimed; then alone; a report that failed says at its
    repetition what is true by then."""
    monkeypatch.setattr(reporter_module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(reporter_module, "GATHER_SECONDS", 0.0)
    place = 5
    told: list[int] = []

    def protected(items: list[dict[str, int]], through: str) -> None:
        nonlocal place
        assert items == []
        told.append(int(through.removeprefix(f"{EPOCH}:")))
        if told[-1] == 6:
            place = 7
            raise OSError("no broker")

    reporter = Reporter(protected, lambda _: None, lambda: f"{EPOCH}:{place}")
    thread = eventlet.spawn(reporter.run)
    try:
        wait_until(lambda: told == [5])
        reporter.place_moved()  # it did not: nothing to say
        eventlet.sleep(0)
        place = 6
        reporter.place_moved()
        wait_until(lambda: told == [5, 6, 7])
        monkeypatch.setattr(reporter_module, "REPEAT_SECONDS", 0.01)
        reporter.place_moved()
        wait_until(lambda: told[:5] == [5, 6, 7, 7, 7])
    finally:
        thread.kill()


def test_nothing_is_claimed_of_a_directory_that_is_gone() -> None:
    """The look at the directory comes before every report, the repeated ones too, and ends them."""
    claims: list[str] = []

    def gone() -> str:
        raise DirectoryGone

    reporter = Reporter(lambda items, through: claims.append(through), lambda _: None, gone)
    with pytest.raises(DirectoryGone):
        reporter.run()
    assert claims == []
