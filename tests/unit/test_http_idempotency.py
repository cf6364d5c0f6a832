"""Who waits for whom while a request with an Idempotency-Key is under way."""

from typing import Any

import eventlet
import pytest
from eventlet.event import Event

from docsave_services.errors import InProgress, InvalidInput
from gateway_http.idempotency import RequestsUnderWay, item_key, key_in, named


def settle() -> None:
    """Let all green threads run until each waits for something: waking one another takes a few turns of the hub."""
    for _ in range(20):
        eventlet.sleep(0.001)


class Request:
    """A request that stays inside until it is told how to end."""

    def __init__(self, under_way: RequestsUnderWay, log: list[str], name: str, user_id: int = 1) -> None:
        self.name, self.log, self.end = name, log, Event()
        self.thread = eventlet.spawn(self._run, under_way, user_id)
        settle()

    def _run(self, under_way: RequestsUnderWay, user_id: int) -> None:
        with under_way.one_at_a_time(user_id, "key"):
            self.log.append(self.name)
            self.end.wait()

    def finish(self, error: Exception | None = None) -> None:
        if error is None:
            self.end.send()
        else:
            self.end.send_exception(error)
        settle()


def test_after_a_success_all_go_on() -> None:
    """The others wait; when the first has succeeded nobody waits for anybody, and nothing is remembered."""
    under_way, log = RequestsUnderWay(), []
    requests = [Request(under_way, log, str(n)) for n in range(4)]
    assert log == ["0"]
    requests[0].finish()
    assert sorted(log) == ["0", "1", "2", "3"]
    for request in requests[1:]:
        request.finish()
        request.thread.wait()
    assert len(under_way) == 0


def test_after_a_failure_one_takes_the_place() -> None:
    """Its failure is its own: the next one is first now, and the others wait for that one."""
    under_way, log = RequestsUnderWay(), []
    requests = [Request(under_way, log, str(n)) for n in range(3)]
    requests[0].finish(ConnectionError("hung up"))
    assert log in (["0", "1"], ["0", "2"])
    second = int(log[1])
    requests[second].finish()
    assert sorted(log) == ["0", "1", "2"]
    requests[3 - second].finish()
    with pytest.raises(ConnectionError):
        requests[0].thread.wait()
    assert len(under_way) == 0


def test_another_users_key_is_another_key() -> None:
    """Nobody waits for a stranger."""
    under_way, log = RequestsUnderWay(), []
    requests = [Request(under_way, log, "mine", 1), Request(under_way, log, "theirs", 2)]
    assert log == ["mine", "theirs"]
    for request in requests:
        request.finish()
    assert len(under_way) == 0


def test_patience_ends() -> None:
    """In progress after the time a call may take in all, also where one failure follows the other."""
    under_way, log = RequestsUnderWay(patience=0.05), []
    first = Request(under_way, log, "first")
    with pytest.raises(InProgress), under_way.one_at_a_time(1, "key"):
        log.append("never")
    assert log == ["first"]
    first.finish()
    with under_way.one_at_a_time(1, "key"):
        log.append("second")
    assert (log, len(under_way)) == (["first", "second"], 0)


@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb", "é", "a\x7f"])
def test_keys_that_are_none(key: str) -> None:
    """1 to 255 printable ASCII characters."""
    with pytest.raises(InvalidInput):
        key_in({"HTTP_IDEMPOTENCY_KEY": key})


def test_keys() -> None:
    """As sent; quotes are part of it."""
    assert key_in({}) is None
    for key in ('"a b"', "x" * 255, "~"):
        assert key_in({"HTTP_IDEMPOTENCY_KEY": key}) == key


def test_the_fingerprint_is_of_what_is_asked_for() -> None:
    """Everything that is asked for makes another one; who asks, from where and when does not."""
    base: Any = {"op": "update", "file_id": 1, "name": "a", "labels": {"a": "1", "b": "2"}, "by": 1, "change_key": "x"}
    same: list[dict[str, Any]] = [
        {"by": 2},
        {"change_key": "y"},
        {"address": "::1"},
        {"media_type": "text/csv"},
        {"labels": {"b": "2", "a": "1"}},
    ]
    other: list[dict[str, Any]] = [
        {"op": "restore"},
        {"file_id": 2},
        {"name": "b"},
        {"labels": {}},
        {"folder": ""},
        {"path": "p"},
        {"if_match": ["v1"]},
        {"ref": {"system": "s", "key": "k", "name": "n"}},
        {"user_id": 1},
    ]
    first = named("k", base)
    assert [named("k", {**base, **change}) for change in same] == [first] * len(same)
    prints = [named("k", {**base, **change})["fingerprint"] for change in other]
    assert len({first["fingerprint"], *prints}) == len(other) + 1


def test_keys_of_a_batch() -> None:
    """Never too long, one a place, and none that another request would have."""
    keys = [item_key(key, number) for key in ("k" * 255, "k") for number in range(1000)]
    assert len(set(keys)) == 2000
    assert max(map(len, keys)) <= 255
