"""The shape of a wanted change. It may come from any peer on the bus, so nothing about it is believed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from docsave_services.contracts import Change
from docsave_services.domain.names import name_problem
from docsave_services.errors import FieldError, InvalidInput

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(\s*;[\x20-\x7e]*)?")
_CHANGE_KEY = re.compile(r"[0-9a-f]{32}")

_MAY_BE_NULL = ("by", "owner", "media_type", "request_id", "address", "session_id", "key_id")
_NEEDED = {"create": ("user_id", "name", "path"), "update": ("file_id",), "delete": ("file_id",)}


def checked_change(change: Mapping[str, Any]) -> Change:
    """``change`` when it is well formed; ``InvalidInput`` with each wrong field otherwise."""
    op = change.get("op")
    if not isinstance(op, str) or op not in _NEEDED:
        raise InvalidInput.for_field("op", "must be create, update or delete")
    errors: list[FieldError] = [
        {"field": field, "message": "is required"} for field in _NEEDED[op] if change.get(field) is None
    ]
    for field, value in change.items():
        problem = _problem(field, value)
        if problem:
            errors.append({"field": field, "message": problem})
    if errors:
        raise InvalidInput("; ".join(f"{e['field']} {e['message']}" for e in errors), errors)
    return cast(Change, {"by": None, **change})


def _problem(field: str, value: Any) -> str | None:
    check = _CHECKS.get(field)
    if check is None:
        return "is not a known field"
    if value is None:
        return None if field in _MAY_BE_NULL else "must not be null"
    return check(value)


def _id_problem(value: Any) -> str | None:
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
    return None if valid else "must be an id"


def _text_problem(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def _name_problem(value: Any) -> str | None:
    return _text_problem(value) or name_problem(value)


def _media_type_problem(value: Any) -> str | None:
    valid = isinstance(value, str) and len(value) <= 255 and _MEDIA_TYPE.fullmatch(value)
    return None if valid else "must be a media type"


def _change_key_problem(value: Any) -> str | None:
    return None if isinstance(value, str) and _CHANGE_KEY.fullmatch(value) else "must be a UUID in hexadecimal"


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "op": _text_problem,
    "by": _id_problem,
    "owner": _id_problem,
    "file_id": _id_problem,
    "user_id": _id_problem,
    "name": _name_problem,
    "path": _text_problem,
    "media_type": _media_type_problem,
    "change_key": _change_key_problem,
    "request_id": _text_problem,
    "address": _text_problem,
    "session_id": _text_problem,
    "key_id": _id_problem,
}
