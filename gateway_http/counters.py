"""What this process has counted since it started, for its metrics. Plain numbers: only green threads count."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """``damaged_content``: how often stored content was found missing, of another size or of another hash."""

    damaged_content: int = 0


counters = Counters()
"""Those of this process."""
