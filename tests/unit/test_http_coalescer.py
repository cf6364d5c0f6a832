"""Calls that travel together."""

import time

import eventlet
import pytest
from eventlet.event import Event

from docsave_services.errors import DatabaseUnavailable, InternalError, NotFound, RpcTimeout, Unavailable
from gateway_http.coalescer import Coalescer
from gateway_http.limits import PATIENCE_SECONDS
from tests.support.waiting import wait_until


class Line:
    """A call that waits at a gate and records what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = Event()
        self.gate.send()

    def close(self) -> None:
        self.gate = Event()

    def open(self) -> None:
        self.gate.send()

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.gate.wait()
        return [item * 10 for item in items]


def test_alone_an_item_leaves_at_once() -> None:
    """At one user nothing waits: one call an item."""
    line = Line()
    coalescer = Coalescer(line)
    assert [coalescer.submit(n) for n in (1, 2, 3)] == [10, 20, 30]
    assert line.batches == [[1], [2], [3]]


def test_items_gather_behind_a_call_under_way() -> None:
    """What comes during a call leaves as one list, in order, at most batch_max; each gets its own answer."""
    line = Line()
    line.close()
    coalescer = Coalescer(line, batch_max=4)
    threads = [eventlet.spawn(coalescer.submit, 0)]
    wait_until(lambda: line.batches)
    threads += [eventlet.spawn(coalescer.submit, n) for n in range(1, 7)]
    eventlet.sleep(0)
    line.open()
    assert [t.wait() for t in threads] == [n * 10 for n in range(7)]
    assert line.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_several_calls_may_be_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two leave at once; what comes meanwhile gathers until one of them is back, however patient it is."""
    monkeypatch.setattr("gateway_http.coalescer.PATIENCE_SECONDS", 60.0)
    line = Line()
    line.close()
    coalescer = Coalescer(line, abreast=2)
    threads = [eventlet.spawn(coalescer.submit, 0)]
    wait_until(lambda: line.batches == [[0]])
    threads.append(eventlet.spawn(coalescer.submit, 1))
    wait_until(lambda: line.batches == [[0], [1]])
    threads += [eventlet.spawn(coalescer.submit, n) for n in (2, 3)]
    for _ in range(5):
        eventlet.sleep(0)
    assert line.batches == [[0], [1]]
    line.open()
    assert [t.wait() for t in threads] == [0, 10, 20, 30]
    assert line.batches == [[0], [1], [2, 3]]


def test_the_queue_has_an_end() -> None:
    """Past queue_max a change is refused at once as unavailable: it never left."""
    line = Line()
    line.close()
    coalescer = Coalescer(line, queue_max=2)
    first = eventlet.spawn(coalescer.submit, 0)
    wait_until(lambda: line.batches)
    waiting = [eventlet.spawn(coalescer.submit, n) for n in (1, 2)]
    eventlet.sleep(0)
    with pytest.raises(Unavailable) as caught:
        coalescer.submit(3)
    assert caught.value.code == "unavailable"
    line.open()
    assert [t.wait() for t in [first, *waiting]] == [0, 10, 20]


def test_the_deadline_tells_what_is_known() -> None:
    """In flight at the deadline: the outcome is unknown. Still in the queue: nothing happened, and it never leaves."""
    line = Line()
    line.close()
    coalescer = Coalescer(line, deadline=0.1)
    flying = eventlet.spawn(coalescer.submit, 0)
    wait_until(lambda: line.batches)
    queued = eventlet.spawn(coalescer.submit, 1)
    with pytest.raises(RpcTimeout):
        flying.wait()
    with pytest.raises(Unavailable) as caught:
        queued.wait()
    assert not isinstance(caught.value, RpcTimeout)
    line.open()
    assert coalescer.submit(2) == 20
    assert [0] in line.batches
    assert all(1 not in batch for batch in line.batches)


def test_a_stuck_call_does_not_hold_up_the_next() -> None:
    """After a moment of patience the next batch leaves beside a call that hangs, up to a bound."""
    line = Line()
    line.close()
    stuck = line.gate
    coalescer = Coalescer(line)
    first = eventlet.spawn(coalescer.submit, 0)
    wait_until(lambda: line.batches)
    line.gate = Event()
    line.gate.send()
    with eventlet.Timeout(2):
        assert coalescer.submit(1) == 10
        for n in (2, 3, 4):  # and none of the next waits again
            begun = time.monotonic()
            assert coalescer.submit(n) == n * 10
            assert time.monotonic() - begun < PATIENCE_SECONDS
    stuck.send()
    assert first.wait() == 0
    assert coalescer._places.balance == 1


def test_a_failed_call_fails_its_batch_only() -> None:
    """Everyone of the list gets the error, each an instance of its own; the next call is not affected."""
    gate = Event()
    calls: list[list[int]] = []

    def call(items: list[int]) -> list[int]:
        calls.append(items)
        if len(calls) == 1:
            gate.wait()
        if len(calls) == 2:
            raise DatabaseUnavailable("locked")
        return items

    coalescer = Coalescer(call)
    threads = [eventlet.spawn(coalescer.submit, 0)]
    wait_until(lambda: calls)
    threads += [eventlet.spawn(coalescer.submit, n) for n in (1, 2)]
    eventlet.sleep(0)
    gate.send()
    assert threads[0].wait() == 0
    errors = []
    for thread in threads[1:]:
        with pytest.raises(DatabaseUnavailable, match="locked") as caught:
            thread.wait()
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert coalescer.submit(3) == 3


@pytest.mark.parametrize("answers", [[], [1, 2], None])
def test_a_wrong_number_of_answers_is_an_error(answers: list[int] | None) -> None:
    """Answers that cannot be matched to items are given to nobody."""
    with pytest.raises(InternalError):
        Coalescer(lambda items: answers).submit(1)  # type: ignore[arg-type, return-value]


def test_coded_errors_pass_through() -> None:
    """What the service says is what the caller hears."""

    def call(items: list[int]) -> list[int]:
        raise NotFound

    with pytest.raises(NotFound):
        Coalescer(call).submit(1)
