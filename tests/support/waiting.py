"""Waiting for conditions, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], deadline: float = 10.0, interval: float = 0.02) -> T:
    """The first truthy value of ``condition()``; ``AssertionError`` when there is none within ``deadline`` seconds.

    An exception of ``condition`` counts as "not yet"; the last one is shown.
    """
    end = time.monotonic() + deadline
    problem: Exception | None = None
    while True:
        try:
            value = condition()
            problem = None
        except Exception as exc:  # whatever it is, the thing is not ready
            value, problem = None, exc  # type: ignore[assignment]
        if value:
            return value
        if time.monotonic() >= end:
            name = getattr(condition, "__qualname__", repr(condition))
            raise AssertionError(f"not within {deadline} s: {name}; last value {value!r}") from problem
        time.sleep(interval)
