"""Which share of the history is read when, so that every byte is read once in so many days."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backup.verify import Finding, Report, Share, all_findings
from docsave_services.log import get_logger
from docsave_services.storage.durable import make_directories, write_file

_log = get_logger(__name__)

STATE_FILE = Path("state", "verify.json")
SHARES_A_DAY = 24
"""A share an hour: short enough to be made up for after a stop, long enough to cost nothing when idle."""

SHARE_SECONDS = 24 * 3600 / SHARES_A_DAY
FINDINGS_MAX = 1000
"""Findings kept until their share is read again; more are in the log."""


@dataclass(frozen=True, slots=True)
class Round:
    """How far the reading has come: ``next`` is the share whose turn it is, ``at`` when the last one was begun."""

    of: int
    next: int
    at: datetime
    findings: tuple[Finding, ...] = ()


class Schedule:
    """The shares of a round of ``days`` days, remembered in ``root``. Blocking."""

    def __init__(self, root: Path, days: int, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = root / STATE_FILE
        self._of = days * SHARES_A_DAY
        self._now = now

    def due(self) -> Share | None:
        """The share to read now, None while it is too early. After a stop those that were missed follow each other."""
        current = self.current()
        now = self._now()
        if (
            current is None or current.of != self._of or current.at > now
        ):  # first, other days, or a clock that was wrong
            findings = current.findings if current else ()
            number = current.next * self._of // current.of if current else 0
            self._write(Round(self._of, number, now, findings))
            return None
        if (now - current.at).total_seconds() < SHARE_SECONDS:
            return None
        return Share(current.next, current.of)

    def done(self, share: Share, report: Report) -> None:
        """Remember that the share was read, and what was found in it."""
        current = self.current()
        if current is None or current.of != share.of:
            return
        others = tuple(f for f in current.findings if not share.has(f["file_id"]))
        findings = (*others, *all_findings(report))[:FINDINGS_MAX]
        missed = (self._now() - current.at).total_seconds() > (share.of + 1) * SHARE_SECONDS
        at = self._now() if missed else datetime.fromtimestamp(current.at.timestamp() + SHARE_SECONDS, UTC)
        self._write(replace(current, next=(share.number + 1) % share.of, at=at, findings=findings))

    def all_done(self, report: Report) -> None:
        """Remember what a pass over everything found."""
        current = self.current()
        if current is not None:
            self._write(replace(current, findings=tuple(all_findings(report))[:FINDINGS_MAX]))

    def current(self) -> Round | None:
        """What is remembered; None when there is nothing that can be read."""
        try:
            found: Any = json.loads(self._path.read_bytes())
            at = datetime.fromisoformat(found["at"])
            return Round(int(found["of"]), int(found["next"]), at, tuple(found["findings"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as exc:
            _log.warning("verify_state_unreadable", error=repr(exc))
            return None

    def _write(self, state: Round) -> None:
        make_directories(self._path.parent)
        content = {"of": state.of, "next": state.next, "at": state.at.isoformat(), "findings": list(state.findings)}
        write_file(self._path, (json.dumps(content, indent=2) + "\n").encode())
