"""What came of attacks: one JSON line each in a file that a later run goes on from, and a table made of them."""

from __future__ import annotations

import dataclasses
import fcntl
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATE = Path(__file__).resolve().parents[2] / ".soak"
"""Where results are kept, out of git."""

Key = tuple[str, str, int]


@dataclass
class Result:
    """One attack: a fault on a database with a seed. ``violations`` are sentences, none when all is well.

    ``recovery`` are the seconds from the end of the fault until an upload was acknowledged and every part answered,
    ``uncertain`` those after that in which requests still had no definite answer.
    """

    fault: str
    database: str
    seed: int
    acknowledged: int = 0
    rejected: int = 0
    unknown: int = 0
    recovery: float = 0.0
    uncertain: float = 0.0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.fault, self.database, self.seed

    @property
    def command(self) -> str:
        """How it is repeated."""
        return f"make soak FAULT={self.fault} DATABASE={self.database} SEEDS={self.seed} AGAIN=1"


def load(path: Path) -> dict[Key, Result]:
    """What earlier runs have written; of the same attack the latest counts."""
    if not path.exists():
        return {}
    results = (Result(**json.loads(line)) for line in path.read_text().splitlines())
    return {result.key: result for result in results}


def append(path: Path, result: Result) -> None:
    """Keep it; several processes may do so at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(dataclasses.asdict(result)) + "\n")


def line(result: Result) -> str:
    """For whoever watches."""
    counts = f"{result.acknowledged} acknowledged, {result.rejected} rejected, {result.unknown} unknown"
    times = f"{result.seconds:.0f} s, well after {result.recovery + result.uncertain:.1f} s"
    said = f"{result.fault} {result.database} {result.seed}: {counts}, {times}: "
    if not result.violations:
        return said + "well"
    return said + "\n  ".join([f"VIOLATED, repeat with: {result.command}", *result.violations])


def table(results: Iterable[Result]) -> str:
    """One line for each fault and database, as Markdown; the violations below, each with the way to repeat it."""
    rows: dict[tuple[str, str], list[Result]] = {}
    everything = list(results)
    for result in everything:
        rows.setdefault((result.fault, result.database), []).append(result)
    lines = [
        "| fault | database | seeds | acknowledged | rejected | unknown | violations | recovery, s | uncertain, s |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (fault, database), group in rows.items():
        seeds = ", ".join(str(result.seed) for result in sorted(group, key=lambda r: r.seed))
        lines.append(f"| {fault} | {database} | {seeds} | {figures(group)} |")
    lines.append(f"| all | | {len(everything)} runs | {figures(everything)} |")
    failed = [result for result in everything if result.violations]
    for result in failed:
        lines += ["", f"`{result.command}`", *(f"- {violation}" for violation in result.violations[:10])]
    return "\n".join(lines) + "\n"


def figures(group: list[Result]) -> str:
    def total(name: str) -> Any:
        return sum(getattr(result, name) for result in group)

    violations = sum(len(result.violations) for result in group)
    slowest = max((result.recovery for result in group), default=0.0)
    uncertain = max((result.uncertain for result in group), default=0.0)
    counts = f"{total('acknowledged')} | {total('rejected')} | {total('unknown')} | {violations}"
    return f"{counts} | {slowest:.1f} | {uncertain:.1f}"
