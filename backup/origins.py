"""Which request a change came from, as the bus tells it: for log lines and traces of the copy, nothing else."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import structlog

from docsave_services import tracing

REMEMBERED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Origin:
    """A request's id and its traceparent, as far as they are known."""

    request_id: str | None = None
    traceparent: str | None = None


class Origins:
    """Those of the changes heard last. What the bus did not tell has none."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Origin] = OrderedDict()

    def note(self, event: object) -> None:
        """The worker that calls this was told of the change by its request; what is no event is passed over."""
        event_id = event.get("event_id") if isinstance(event, dict) else None
        if type(event_id) is not int:
            return
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        self._known[event_id] = Origin(request_id, tracing.current())
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)

    def take(self, event_id: int) -> Origin:
        """The change's origin, which is forgotten."""
        return self._known.pop(event_id, Origin())

    def of(self, event_id: int) -> Origin:
        """The change's origin."""
        return self._known.get(event_id, Origin())
