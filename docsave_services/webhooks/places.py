"""Places in the journal, which ``files`` knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from docsave_services.domain.cursor import Cursor

Files = Callable[..., Any]


def head_of(files: Files) -> Cursor:
    """The newest place."""
    return Cursor.parse(files("head")["cursor"])


def place_of(files: Files, since: str | int | None) -> Cursor:
    """The place that a caller names, or the newest. ``InvalidInput`` for what is none, ``CursorExpired`` for one of
    another journal or of the future."""
    if since is None:
        return head_of(files)
    # One event is read and not used: that checks the cursor where cursors are understood.
    page = files("changes", since=since, limit=1)
    found = page["items"][0]["event_id"] - 1 if page["items"] else Cursor.parse(page["cursor"]).event_id
    return Cursor(Cursor.parse(page["cursor"]).epoch, found)
