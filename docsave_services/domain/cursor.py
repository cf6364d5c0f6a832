"""A place in the journal, as clients and readers hold it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place after ``event_id`` in the journal of ``epoch`` (a UUID that changes with the database)."""

    epoch: str
    event_id: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.event_id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read ``<epoch>:<event_id>``; ``ValueError`` for anything else."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError("not a cursor")
        return cls(match[1], int(match[2]))
