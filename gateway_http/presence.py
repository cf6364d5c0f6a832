"""Noticing that a client has gone while its request waits, without a thread that watches."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from eventlet.hubs import get_hub


@contextlib.contextmanager
def told_when_gone(connection: Any, tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` once when the other side of ``connection`` (a green socket) closes it, or we cut it ourselves.

    A client that sends its next request meanwhile is there; from then on its leaving is not noticed any more.
    """
    hub = get_hub()
    watched = [True]

    def look(_fileno: int) -> None:
        # Runs in the event loop, again and again until it is removed: the bytes stay where they are.
        stop_watching()
        if _has_ended(connection):
            tell()

    def stop_watching(*_problem: object) -> None:
        if watched.pop() if watched else False:
            hub.remove(listener)

    listener = hub.add(hub.READ, connection.fileno(), look, stop_watching, lambda: None)
    try:
        yield
    finally:
        stop_watching()


def _has_ended(connection: Any) -> bool:
    try:
        return not connection.fd.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
