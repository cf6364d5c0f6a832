"""Answers that take long to come and need nobody while they do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Deferred:
    """What a route returns instead of an answer that it would have to wait for.

    ``finish`` waits and gives the answer, in the connection's own green thread: the worker is free again. Who asks is
    looked at once more after it, because a session may have ended meanwhile; not when ``asks_again`` is False, because
    what the answer tells was done before.
    """

    finish: Callable[[], Any]
    asks_again: bool = True
