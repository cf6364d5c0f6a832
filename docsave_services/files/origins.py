"""Which request asked for which change."""

from __future__ import annotations

from collections.abc import Sequence

from docsave_services.contracts import Change, Outcome
from docsave_services.files.outbox import Origin, Place

_CARRIED = ("request_id", "traceparent")


def origins_of(changes: Sequence[Change], outcomes: Sequence[Outcome]) -> dict[Place, Origin]:
    """The origin of each change that made a version."""
    return {
        (outcome["file"]["id"], outcome["file"]["version"]): {
            key: value for key in _CARRIED if isinstance(value := change.get(key), str)
        }
        for change, outcome in zip(changes, outcomes, strict=True)
        if outcome["ok"]
    }
