"""What clients send, checked: who they are, and events to relay."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from docsave_services.domain.folders import folder_problem
from docsave_services.domain.labels import labels_problem
from docsave_services.errors import InvalidInput

_NUMBER_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Identification:
    """A token as a client sent it, and where it wants to go on from."""

    token: str = field(repr=False)
    since: str | int | None = None


def parse_identification(payload: object) -> Identification:
    """Read ``{"token", "since"?}``, the same as a JSON text, or the bare token; ``InvalidInput`` for anything else.

    Other fields are ignored: identity comes from the token only.
    """
    value = _from_text(payload)
    if isinstance(value, str):
        value = {"token": value}
    if not isinstance(value, dict):
        raise InvalidInput("send the token, or an object with a token")
    token = value.get("token")
    if not isinstance(token, str) or not token:
        raise InvalidInput.for_field("token", "must be the access token, a string")
    return Identification(token, _since(value.get("since")))


def _from_text(payload: object) -> object:
    if not isinstance(payload, str) or not payload.lstrip().startswith(("{", '"')):
        return payload.strip() if isinstance(payload, str) else payload
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput("this text is neither a token nor JSON") from exc


def _since(value: object) -> str | int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, str) and len(value) <= 100:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _NUMBER_MAX:
        return value
    raise InvalidInput.for_field("since", "must be a cursor or an event_id")


def parse_relayed_event(payload: object, event_type: str) -> dict[str, Any]:
    """An event as in the bus' shape; ``id`` and ``user_id`` are required, unknown fields and wrong types refused."""
    value = _from_text(payload)
    if not isinstance(value, dict):
        raise InvalidInput("send an object, the event")
    for name, content in value.items():
        check = _EVENT_FIELDS.get(name)
        if check is None:
            raise InvalidInput.for_field(str(name)[:50], "is not a field of an event")
        if not check(content):
            raise InvalidInput.for_field(name, "has the wrong type or size")
    for name in ("id", "user_id"):
        if name not in value:
            raise InvalidInput.for_field(name, "is missing")
    if value.setdefault("type", event_type) != event_type:
        raise InvalidInput.for_field("type", f"must be {event_type}")
    return value


def _number(least: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= _NUMBER_MAX


def _text(most: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and len(value) <= most


_EVENT_FIELDS: dict[str, Callable[[object], bool]] = {
    "event_id": _number(0),
    "type": _text(50),
    "id": _number(1),
    "user_id": _number(1),
    "name": _text(255),
    "path": _text(255),
    "size": _number(0),
    "media_type": _text(255),
    "sha256": _text(64),
    "version": _number(1),
    "at": _text(50),
    "by": lambda value: value is None or _number(1)(value),
    "folder": lambda value: isinstance(value, str) and folder_problem(value) is None,
    "labels": lambda value: isinstance(value, dict) and labels_problem(value) is None,
    "permanent": lambda value: isinstance(value, bool),
    "cursor": _text(100),
}
"""The fields of ``contracts.FileEvent``; a test compares the two."""
