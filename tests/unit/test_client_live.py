"""The client's Socket.IO connection."""

import threading

import engineio

from docsave_client.live import _InOrder, _SocketIO


def threads_of_messages(engine: engineio.Client) -> list[tuple[int, int]]:
    """What a handler saw of three messages, and in which threads it ran."""
    seen: list[tuple[int, int]] = []
    engine.on("message", lambda number: seen.append((number, threading.get_ident())))
    for number in range(3):
        engine._trigger_event("message", number, run_async=True)
    return seen


def test_messages_are_taken_one_after_the_other() -> None:
    """The library hands each to a thread of its own, and then their order is luck."""
    assert isinstance(_SocketIO().eio, _InOrder)
    assert threads_of_messages(_InOrder()) == [(number, threading.get_ident()) for number in range(3)]
    assert threads_of_messages(engineio.Client()) != [(number, threading.get_ident()) for number in range(3)]
