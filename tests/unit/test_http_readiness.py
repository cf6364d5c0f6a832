"""What the gateway says of its own health."""

from __future__ import annotations

import json
from typing import Any

from gateway_http.readiness import Readiness


def _report(knows_sessions: bool) -> tuple[int, dict[str, Any]]:
    callers: Any = dict.fromkeys(("users", "files", "webhooks"), lambda method: {"status": "ok"})
    readiness = Readiness(lambda: None, callers, lambda: knows_sessions)
    answer = readiness.report()
    return answer.status_code, json.loads(answer.get_data())["checks"]


def test_all_is_well_when_every_part_answers() -> None:
    """200, and nothing is failed."""
    status, checks = _report(knows_sessions=True)
    assert status == 200
    assert {check["status"] for check in checks.values()} == {"ok"}


def test_a_gateway_that_lets_nobody_in_is_not_ready() -> None:
    """After a long break every part answers again, but requests are refused until the revocations have been read:
    `make soak FAULT=bus-cut-long` found 200 here and 503 for all work."""
    status, checks = _report(knows_sessions=False)
    assert status == 503
    assert checks["users"]["status"] == "failed"
    assert checks["files"]["status"] == "ok"
