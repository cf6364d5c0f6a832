"""Deliveries on a real database and real sockets: in order, to whom, again after failures, by one process at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.documents import Documents
from tests.support.receiver import Receiver, listening
from tests.support.webhooks import Hooks

WaitUntil = Callable[..., Any]


@pytest.fixture
def hooks(documents: Documents) -> Iterator[Hooks]:
    hooks = Hooks(documents)
    yield hooks
    hooks.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def test_every_change_arrives_in_order_and_signed(hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """The body is the event, the signature that of the secret, and the deliveries can be looked at."""
    webhook = hooks.create(receiver.url)
    hooks.dispatch()
    events = hooks.save("a", "b", "c") + hooks.save("d")
    wait_until(lambda: len(receiver.got) == 4)
    assert [got.event for got in receiver.got] == events
    wait_until(lambda: hooks.get(webhook)["lag"] == 0)
    assert [d["state"] for d in hooks.deliveries(webhook)] == ["delivered"] * 4
