"""The place in a sorted list where the next page begins, as an opaque text."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from docsave_services.errors import InvalidInput

CURSOR_CHARACTERS_MAX = 4096
_LARGEST = 2**63


def encode(list_name: str, value: str | int | datetime, file_id: int) -> str:
    """The cursor after the file with that sort value and id; ``list_name`` says of which list."""
    plain = value.isoformat() if isinstance(value, datetime) else value
    text = json.dumps([list_name, plain, file_id])
    return base64.urlsafe_b64encode(text.encode("ascii")).decode("ascii").rstrip("=")


def decode(text: str, list_name: str, kind: type) -> tuple[Any, int]:
    """The sort value, which must be a ``kind``, and the id. ``InvalidInput`` unless it was made for this list: one
    with the same order and the same filters."""
    try:
        value, file_id = _read(text, list_name)
        return _as_kind(value, kind), int(_as_kind(file_id, int))
    except (ValueError, TypeError, OverflowError, RecursionError) as exc:
        raise InvalidInput.for_field("after", "is not a cursor of this list") from exc


def _read(text: str, list_name: str) -> tuple[Any, Any]:
    if not isinstance(text, str) or len(text) > CURSOR_CHARACTERS_MAX:
        raise ValueError("not a cursor")
    made_for, value, file_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if made_for != list_name:
        raise ValueError("the cursor belongs to another list")
    return value, file_id


def _as_kind(value: Any, kind: type) -> Any:
    if kind is datetime and isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    if kind is str and isinstance(value, str):
        value.encode("utf-8")  # a lone surrogate ends here, not in the database
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST:
        return value
    raise ValueError("wrong kind of value")
