"""Retention over all files: the rules in force, when they were last applied, and whether the clock can be believed.

Only ``keep-all-within`` looks at the present time. A clock that is years ahead would make everything old, so a pass
is refused that comes more than ``QUIET_DAYS_MAX`` after the last one, or before it, until an operator says that the
clock is right. Blocking.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from backup.content import never
from backup.thinning import FileThinning, Thinned, Victim
from docsave_services.domain.retention import Policy
from docsave_services.storage.durable import make_directories, write_file
from docsave_services.times import now, to_text

STATE = Path("state") / "retention.json"

QUIET_DAYS_MAX = 31
"""A pass runs several times a day; a longer silence means that docsave was off, or that the clock jumped."""

BACKWARDS_MAX = timedelta(hours=2)
"""Clocks are set back a little for good reasons."""

OFF = "off"
ON = "on"
CLOCK_DOUBTED = "clock_doubted"


class Retention:
    """Applies ``policy`` to the files below ``root``. ``clock`` tells the present time."""

    def __init__(self, root: Path, policy: Policy, clock: Callable[[], datetime] = now) -> None:
        self._root = root
        self._policy = policy
        self._clock = clock
        self._moment: datetime | None = None
        self.tally = Thinned()
        self.state = ON if policy else OFF

    def begin(self, asked: bool = False, trust_clock: bool = False) -> bool:
        """Whether a pass may begin now. Its moment is noted, and the whole pass sees the same one.

        The very first only notes it, unless it was ``asked`` for: so a clock that is wrong from the start is seen when
        it is put right, before anything went.
        """
        self._moment = None
        if not self._policy:
            return False
        moment, first = self._clock(), not (self._root / STATE).exists()
        if not trust_clock and not first and self._is_doubtful(moment):
            self.state = CLOCK_DOUBTED
            return False
        make_directories((self._root / STATE).parent)
        write_file(self._root / STATE, json.dumps({"applied_at": to_text(moment)}).encode())
        self.state = ON
        if first and not (asked or trust_clock):
            return False
        self._moment = moment
        return True

    def apply(
        self, directory: Path, cancelled: Callable[[], bool] = never, pause: Callable[[], None] = lambda: None
    ) -> None:
        """Thin one file as of the pass that has begun; without one nothing happens."""
        if self.state == ON and self._moment is not None:
            FileThinning(self._root, directory, self._policy, self._moment, self.tally, cancelled, pause).run()

    def victims(self, directory: Path) -> list[Victim]:
        """What would go of one file now. Changes nothing."""
        return FileThinning(self._root, directory, self._policy, self._clock(), self.tally).victims()

    def status(self) -> dict[str, Any]:
        """What it has done since this process became active."""
        tally = self.tally
        return {
            "state": self.state,
            "thinned": tally.versions,
            "freed_bytes": tally.freed_bytes,
            "held": tally.held,
            "doubted": tally.doubted,
            "applied_at": to_text(self._moment) if self._moment else None,
        }

    def _is_doubtful(self, moment: datetime) -> bool:
        try:
            last = datetime.fromisoformat(json.loads((self._root / STATE).read_bytes())["applied_at"])
        except (ValueError, KeyError, TypeError):
            return True  # nobody knows when the last pass was
        return not last - BACKWARDS_MAX <= moment <= last + timedelta(days=QUIET_DAYS_MAX)
