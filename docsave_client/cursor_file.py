"""A place in the journal, kept on disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from docsave_client.durable import write_atomically
from docsave_client.errors import ClientError

_CURSOR = re.compile(r"[0-9a-f-]{36}:[0-9]{1,18}")


class CursorKeeper(Protocol):
    """Where the place is kept."""

    def load(self) -> str | None:
        """The last place that was kept."""

    def save(self, cursor: str) -> None:
        """Everything up to here is handled."""


class InMemoryCursor:
    """A place that is forgotten with the process."""

    def __init__(self, cursor: str | None = None) -> None:
        self._cursor = cursor

    def load(self) -> str | None:
        return self._cursor

    def save(self, cursor: str) -> None:
        self._cursor = cursor


class CursorFile:
    """A file with the cursor as its only line, replaced in one step. ``first`` counts while there is no file."""

    def __init__(self, path: Path, first: str | None = None) -> None:
        self._path = path
        self._first = first

    def load(self) -> str | None:
        try:
            text = self._path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return self._first
        if not _CURSOR.fullmatch(text):
            raise ClientError(f"{self._path} holds no cursor; delete it to start anew")
        return text

    def save(self, cursor: str) -> None:
        write_atomically(self._path, f"{cursor}\n".encode("ascii"), 0o644)


def event_id_of(cursor: str) -> int:
    """The number in a cursor."""
    return int(cursor.rpartition(":")[2])


def epoch_of(cursor: str) -> str:
    """The journal that a cursor belongs to."""
    return cursor.rpartition(":")[0]


def is_after(cursor: str, other: str) -> bool:
    """Whether ``cursor`` lies beyond ``other``, or in another journal."""
    return epoch_of(cursor) != epoch_of(other) or event_id_of(cursor) > event_id_of(other)
