"""Pauses between tries: growing, spread by chance so that many clients do not come back at once, and not for ever."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """``tries`` in all; pauses in seconds, doubling from ``first`` to ``longest``, each shortened by up to a half."""

    tries: int = 6
    first: float = 0.5
    longest: float = 15.0

    def pauses(self) -> Iterator[float]:
        """The pause after each failed try but the last."""
        for number in range(self.tries - 1):
            yield self.pause(number)

    def pause(self, number: int) -> float:
        """The pause after failure ``number`` in a row, counted from 0."""
        return min(self.first * 2.0 ** min(number, 30), self.longest) * random.uniform(0.5, 1)  # noqa: S311 - no secret
