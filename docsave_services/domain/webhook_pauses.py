"""When a failed delivery is tried again, and when trying ends."""

from __future__ import annotations

from datetime import datetime, timedelta

PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0)
"""After the first failure, the second…; the last one repeats. Short ones first: mostly a receiver is started again, and
is as late as it was away, or twice that."""

JITTER = 0.2
"""Up to this share more or less, so that endpoints which failed together do not come back together."""

GIVE_UP_AFTER = timedelta(days=1)


def pause_seconds(tries: int, chance: float, wanted: float | None) -> float:
    """The pause after ``tries`` failed tries. ``chance`` is from 0 to 1; ``wanted`` is what the receiver asks for
    with ``Retry-After``: no less, but never longer than trying goes on."""
    base = PAUSES_SECONDS[min(tries, len(PAUSES_SECONDS)) - 1]
    pause = base * (1 + JITTER * (2 * chance - 1))
    return min(max(pause, wanted or 0.0), GIVE_UP_AFTER.total_seconds())


def is_over(failing_since: datetime, moment: datetime) -> bool:
    """Whether an event has failed for as long as is tried."""
    return moment - failing_since >= GIVE_UP_AFTER
