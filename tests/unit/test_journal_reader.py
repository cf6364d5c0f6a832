"""The reader of the journal: every event once and in order, whatever the bus does."""

from __future__ import annotations

import eventlet
import pytest

from docsave_services import journal_reader
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import CursorExpired, Unavailable
from docsave_services.journal_reader import JournalReader

EPOCH = "6f6a5a2e-0000-4000-8000-000000000001"
OTHER = "6f6a5a2e-0000-4000-8000-000000000002"


class Journal:
    """A list of events with the reader on it; ``fetches`` counts the looks into the journal."""

    def __init__(self, start: int = 0) -> None:
        self.events: list[dict] = []
        self.delivered: list[int] = []
        self.fetches = 0
        self.problem: Exception | None = None
        self.refusals = 0
        self.reader = JournalReader(self.fetch, self.deliver, Cursor(EPOCH, start))

    def fetch(self, since: str, limit: int) -> dict:
        self.fetches += 1
        if self.problem is not None:
            raise self.problem
        place = Cursor.parse(since).event_id
        return {"items": self.events[place : place + limit], "cursor": f"{EPOCH}:{len(self.events)}"}

    def deliver(self, events: list[dict]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError("disk full")
        self.delivered += [event["event_id"] for event in events]

    def add(self, count: int = 1) -> list[dict]:
        first = len(self.events) + 1
        new = [{"event_id": n, "cursor": f"{EPOCH}:{n}"} for n in range(first, first + count)]
        self.events += new
        return new


@pytest.fixture
def journal(monkeypatch):
    """A running reader whose timer never helps, so that a test shows what offers alone achieve."""
    monkeypatch.setattr(journal_reader, "TICK_SECONDS", 60.0)
    source = Journal()
    thread = eventlet.spawn(source.reader.run)
    eventlet.sleep(0)
    yield source
    source.reader.stop()
    with eventlet.Timeout(2):
        thread.wait()


def settle(condition, seconds=2.0):
    """Let green threads run until the condition holds."""
    with eventlet.Timeout(seconds):
        while not condition():
            eventlet.sleep(0.001)


def test_contiguous_events_need_no_look_into_the_journal(journal):
    """Events that arrive in order are delivered as they are."""
    fetches = journal.fetches
    for event in journal.add(3):
        journal.reader.offer(event)
    settle(lambda: journal.delivered == [1, 2, 3])
    assert journal.fetches == fetches
    assert str(journal.reader.cursor) == f"{EPOCH}:3"


def test_repeated_events_are_ignored(journal):
    """The same event again, at once or later, is delivered once."""
    first, second = journal.add(2)
    for event in (first, first, second, first, second):
        journal.reader.offer(event)
    settle(lambda: journal.delivered == [1, 2])
    journal.reader.offer(first)
    (third,) = journal.add()
    journal.reader.offer(third)
    settle(lambda: journal.delivered == [1, 2, 3])


def test_messages_that_overtook_each_other_wait_for_their_turn(journal):
    """An early event waits a moment for the one before it, and the journal need not be read."""
    fetches = journal.fetches
    first, second, third = journal.add(3)
    journal.reader.offer(third)
    journal.reader.offer(second)
    eventlet.sleep(0)
    journal.reader.offer(first)
    settle(lambda: journal.delivered == [1, 2, 3])
    assert journal.fetches == fetches


def test_a_gap_is_read_from_the_journal(journal):
    """What the bus lost is fetched before what came after it."""
    *_, last = journal.add(5)
    journal.reader.offer(last)
    settle(lambda: journal.delivered == [1, 2, 3, 4, 5])


def test_a_long_gap_is_read_page_by_page(journal):
    """More than one page is missing: all of it arrives, in order."""
    *_, last = journal.add(2500)
    journal.reader.offer(last)
    settle(lambda: len(journal.delivered) == 2500)
    assert journal.delivered == list(range(1, 2501))


def test_start_reads_what_was_missed():
    """A reader that starts behind the journal's head begins with what lies between."""
    source = Journal(start=1)
    source.add(3)
    thread = eventlet.spawn(source.reader.run)
    settle(lambda: source.delivered == [2, 3])
    source.reader.stop()
    thread.wait()


def test_the_timer_finds_what_nobody_announced(monkeypatch):
    """An event without any message is delivered with the next tick."""
    monkeypatch.setattr(journal_reader, "TICK_SECONDS", 0.05)
    source = Journal()
    thread = eventlet.spawn(source.reader.run)
    eventlet.sleep(0)
    source.add()
    settle(lambda: source.delivered == [1])
    source.reader.stop()
    thread.wait()


def test_wake_reads_the_journal_at_once(journal):
    """After ``wake`` an unannounced event is delivered without waiting for the timer."""
    journal.add()
    journal.reader.wake()
    settle(lambda: journal.delivered == [1])


@pytest.mark.parametrize("how", ["offered", "fetched"])
def test_a_failing_delivery_is_tried_again_without_loss(journal, how):
    """``deliver`` raises twice; the place does not move until it succeeds, and nothing is lost or repeated."""
    journal.refusals = 2
    new = journal.add(3)
    for event in new if how == "offered" else new[2:]:
        journal.reader.offer(event)
    settle(lambda: journal.delivered == [1, 2, 3], 5)
    (fourth,) = journal.add()
    journal.reader.offer(fourth)
    settle(lambda: journal.delivered == [1, 2, 3, 4])


def test_an_unavailable_journal_is_tried_again(journal):
    """While the journal cannot be read the reader waits; what came meanwhile is delivered afterwards."""
    journal.problem = Unavailable()
    *_, last = journal.add(3)
    journal.reader.offer(last)
    settle(lambda: journal.fetches >= 3, 5)
    assert journal.delivered == []
    journal.problem = None
    settle(lambda: journal.delivered == [1, 2, 3], 5)


def test_an_event_of_another_epoch_makes_the_reader_look(monkeypatch):
    """A foreign event is never delivered; the journal is asked at once, and its refusal ends the reader."""
    monkeypatch.setattr(journal_reader, "TICK_SECONDS", 60.0)
    source = Journal()
    thread = eventlet.spawn(source.reader.run)
    eventlet.sleep(0)
    source.problem = CursorExpired()
    source.reader.offer({"event_id": 1, "cursor": f"{OTHER}:1"})
    with pytest.raises(CursorExpired), eventlet.Timeout(2):
        thread.wait()
    assert source.delivered == []


def test_cursor_expired_ends_run():
    """The owner, not the reader, decides what a new journal means."""
    source = Journal()
    source.problem = CursorExpired()
    with pytest.raises(CursorExpired), eventlet.Timeout(2):
        source.reader.run()


@pytest.mark.parametrize("event", [None, 5, {}, {"cursor": None}, {"cursor": "x"}, {"cursor": 7}, []], ids=repr)
def test_malformed_messages_are_ignored(journal, event):
    """Nonsense on the bus disturbs nothing."""
    journal.reader.offer(event)
    (first,) = journal.add()
    journal.reader.offer(first)
    settle(lambda: journal.delivered == [1])


def test_early_events_are_bounded(journal, monkeypatch):
    """Events far ahead are not kept without end; what was dropped comes from the journal."""
    monkeypatch.setattr(journal_reader, "PENDING_MAX", 10)
    for event in journal.add(100)[1:]:
        journal.reader.offer(event)
    assert len(journal.reader._early) <= 10
    settle(lambda: journal.delivered == list(range(1, 101)))


def test_events_that_arrive_during_a_delivery_are_not_lost(monkeypatch):
    """``deliver`` waits for its disk while more events come in: they follow, once."""
    monkeypatch.setattr(journal_reader, "TICK_SECONDS", 60.0)
    source = Journal()
    plain = source.deliver

    def slow(events):
        eventlet.sleep(0.02)
        plain(events)

    source.reader = JournalReader(source.fetch, slow, Cursor(EPOCH, 0))
    thread = eventlet.spawn(source.reader.run)
    for _ in range(20):
        for event in source.add(2):
            source.reader.offer(event)
        eventlet.sleep(0.005)
    settle(lambda: source.delivered == list(range(1, 41)))
    source.reader.stop()
    thread.wait()


def test_stop_ends_run_soon(journal):
    """``stop`` wakes a sleeping reader; the fixture waits for its end."""
    journal.reader.stop()
    (first,) = journal.add()
    journal.reader.offer(first)
    eventlet.sleep(0.01)
    assert journal.delivered == []
