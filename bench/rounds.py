"""Rounds in turn, and what they say: ratios within a round, their medians, and whether a target is met."""

from __future__ import annotations

import operator
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS", "4"))
"""Of each measurement of a rate."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``met`` is None where nothing was aimed at."""

    metric: str
    target: str
    measured: str
    met: bool | None = None

    @property
    def line(self) -> str:
        """As a row of a Markdown table."""
        said = {None: "", True: "yes", False: "**no**"}[self.met]
        return f"| {self.metric} | {self.target} | {self.measured} | {said} |"


def in_turn(*measures: Callable[[], float]) -> list[list[float]]:
    """Each measure once a round, every second round in the opposite order; the figures of each measure."""
    figures: list[list[float]] = [[] for _ in measures]
    for round_ in range(ROUNDS):
        order = range(len(measures))
        for n in order if round_ % 2 == 0 else reversed(order):
            figures[n].append(measures[n]())
    return figures


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def at_least(metric: str, target: float, measured: float, detail: str) -> Row:
    """A ratio that should not be lower."""
    return _row(metric, target, measured, detail, operator.ge, "≥")


def at_most(metric: str, target: float, measured: float, detail: str, unit: str = "") -> Row:
    """A figure that should not be higher."""
    return _row(metric, target, measured, detail, operator.le, "≤", unit)


def _row(
    metric: str,
    target: float,
    measured: float,
    detail: str,
    compare: Callable[[float, float], bool],
    sign: str,
    unit: str = "",
) -> Row:
    space = f" {unit}" if unit else ""
    return Row(metric, f"{sign} {target:g}{space}", f"{measured:.2f}{space} ({detail})", compare(measured, target))


def median(values: Sequence[float]) -> str:
    """For the text beside a ratio."""
    found = statistics.median(values)
    return f"{found:.0f}" if found >= 10 else f"{found:.1f}"


def p99(values: Sequence[float]) -> float:
    """Below it are 99 of 100."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
