"""The links from each entry of a history to the one before it in the journal: as the server's backup has them.

``link(n) = SHA-256(link(n-1) || SHA-256(identity of n))``, and ``link(0)`` is 32 zero bytes: it follows from the
journal alone, so a directory that is mirrored can be held against the server's.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from docsave_client.errors import ClientError
from docsave_client.types import Event

_IDENTITY = ("event_id", "type", "id", "user_id", "name", "size", "sha256", "version", "at")
NOTHING = bytes(32)


class Links:
    """``place`` is the last event that was taken, ``tip`` its link."""

    def __init__(self, place: int = 0, tip: bytes = NOTHING) -> None:
        self.place = place
        self.tip = tip

    def is_repeat(self, event: Event) -> bool:
        """Whether it was taken already; ``ClientError`` when the one before it was not."""
        if event["event_id"] > self.place + 1:
            raise ClientError(
                f"the server left out the changes between {self.place} and {event['event_id']}: "
                "only an administrator may see all"
            )
        return event["event_id"] <= self.place

    def linked(self, event: Event) -> Event:
        """The event as its entry has it: with the link of the one before it."""
        return cast(Event, {**event, "previous": self.tip.hex()})

    def take(self, event: Event) -> None:
        """Go on after ``event``."""
        identity: dict[str, Any] = {key: cast(Any, event).get(key) for key in _IDENTITY}
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
        self.tip = hashlib.sha256(self.tip + hashlib.sha256(canonical).digest()).digest()
        self.place = event["event_id"]
