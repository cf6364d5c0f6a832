"""The clock of one service jumps, forwards and backwards, while it runs and while others keep theirs."""

from __future__ import annotations

from typing import ClassVar

from docsave_services.runtime.programs import SERVICES
from tests.faults.catalogue.fault import Fault, Place

HOUR = 3600
TEN_YEARS = 10 * 365 * 86400


class Moved(Fault):
    """One service's time of day is off by an hour or ten years. The gateway then refuses tokens as expired."""

    stage = "clocks"
    excused: ClassVar[frozenset[int]] = frozenset({401, 429})
    hold_seconds = 15.0

    def __init__(self, service: str, seconds: int, what: str) -> None:
        super().__init__(f"clock-{service}-{what}")
        self._service = service
        self._seconds = seconds

    def inject(self, place: Place) -> None:
        self._set(place, self._seconds)

    def heal(self, place: Place) -> None:
        self._set(place, 0)

    def _set(self, place: Place, seconds: int) -> None:
        clocks = place.target.system.data_dir.parent.parent / "clocks"
        (clocks / self._service).write_text(f"{seconds:+d}\n")


FAULTS: list[Fault] = [
    Moved(service, seconds, what)
    for service in SERVICES
    for seconds, what in ((HOUR, "+1h"), (-HOUR, "-1h"), (TEN_YEARS, "+10y"))
]
