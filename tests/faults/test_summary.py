"""The table in docs/attacks.md."""

from __future__ import annotations

from pathlib import Path

from tests.faults.report import Result
from tests.faults.summary import HEAD, summary

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "attacks.md"


def test_it_counts_what_was_tried_and_shows_the_slowest():
    """Attacks of one kind come together; the seeds are those of the pair of fault and database with the fewest."""
    results = [
        Result("kill-files", "sqlite", 1, acknowledged=5, recovery=2.0),
        Result("kill-files", "sqlite", 2, acknowledged=6, unknown=1, recovery=9.5, uncertain=0.5),
        Result("kill-users", "mariadb", 1, rejected=3, violations=["lost"]),
        Result("no-such-fault", "sqlite", 1, acknowledged=99),
    ]
    (line,) = [line for line in summary(results).splitlines() if "`kill-*`" in line]
    assert line == "| `kill-*` (6) | kill -9 of one service, twice | 3 | 0 to 2 | 11 | 3 | 1 | 1 | 9.5 | 0.5 |"


def test_the_document_has_each_kind_of_fault():
    """And no other; the figures are of one run and differ."""
    shown = [line.split(" | ")[:2] for line in DOCUMENT.read_text().partition(HEAD[1])[2].splitlines() if " | " in line]
    wanted = [line.split(" | ")[:2] for line in summary([]).splitlines()[2:]]
    assert shown[: len(wanted)] == wanted
