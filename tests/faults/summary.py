"""The table of ``docs/attacks.md``: one line for each kind of fault, of the results that ``make soak`` has kept.

``python -m tests.faults.summary`` prints it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.faults import report
from tests.faults.catalogue import ALL
from tests.faults.catalogue.fault import Fault
from tests.faults.report import Result

HEAD = [
    "| FAULT | what happens | attacks | seeds | acknowledged | rejected | unknown | violations | recovery, s "
    "| uncertain, s |",
    "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
]


def summary(results: Iterable[Result]) -> str:
    """Of each kind in the catalogue's order; what is not in the catalogue any more is left out."""
    known = [result for result in results if result.fault in ALL]
    lines = list(HEAD)
    for kind, faults in itertools.groupby(ALL.values(), type):
        names = [fault.name for fault in faults]
        of_kind = [result for result in known if result.fault in names]
        lines.append(f"| {_pattern(names)} | {_said(kind)} | {_figures(of_kind)} |")
    lines.append(f"| `*` | all of these {len(ALL)} | {_figures(known)} |")
    return "\n".join(lines) + "\n"


def _pattern(names: Sequence[str]) -> str:
    """What to say in FAULT, and for how many faults it stands."""
    words = itertools.groupby(sorted(names), lambda name: name.split("-")[0])
    patterns = [(group[0] if len(group) == 1 else f"{word}-*") for word, each in words if (group := list(each))]
    return f"`{','.join(patterns)}`" + (f" ({len(names)})" if len(names) > 1 else "")


def _said(kind: type[Fault]) -> str:
    """The first part of its docstring."""
    return (kind.__doc__ or "").split(".")[0].split(";")[0].replace("``", "`").replace("\n    ", " ").strip()


def _figures(results: list[Result]) -> str:
    return f"{len(results)} | {_seeds(results)} | {report.figures(results)}"


def _seeds(results: list[Result]) -> str:
    """With how many seeds each fault was tried on each of its databases: the fewest and the most."""
    counted = Counter((result.fault, result.database) for result in results)
    pairs = {(name, database) for name in {r.fault for r in results} for database in ALL[name].databases}
    fewest, most = min((counted[p] for p in pairs), default=0), max(counted.values(), default=0)
    return str(most) if fewest == most else f"{fewest} to {most}"


if __name__ == "__main__":
    print(summary(report.load(report.STATE / "results.jsonl").values()), end="")
