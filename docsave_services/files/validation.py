"""The shape of a wanted change. It may come from any peer on the bus, so nothing about it is believed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from docsave_services.contracts import FILE_EVENT_TYPES, Change
from docsave_services.db.file_models import IDEMPOTENCY_KEY_CHARACTERS
from docsave_services.domain.change_filter import TERMS_MAX, ChangeFilter
from docsave_services.domain.filters import label_filter, label_filter_problem
from docsave_services.domain.folders import folder_problem
from docsave_services.domain.ids import id_problem
from docsave_services.domain.labels import labels_problem
from docsave_services.domain.names import name_problem
from docsave_services.domain.references import key_problem, system_problem
from docsave_services.errors import FieldError, InvalidInput

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(\s*;[\x20-\x7e]*)?")
_CHANGE_KEY = re.compile(r"[0-9a-f]{32}")

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
IF_MATCH_MAX = 100

_MAY_BE_NULL = ("by", "owner", "media_type", "idempotency", "request_id", "address", "session_id", "key_id")
_NEEDED = {
    "create": ("user_id", "name", "path"),
    "save": ("user_id", "name", "path", "ref"),
    "update": ("file_id",),
    "delete": ("file_id",),
    "restore": ("file_id",),
    "remove": ("file_id",),
}


def checked_change(change: Mapping[str, Any]) -> Change:
    """``change`` when it is well formed; ``InvalidInput`` with each wrong field otherwise."""
    op = change.get("op")
    if not isinstance(op, str) or op not in _NEEDED:
        raise InvalidInput.for_field("op", "must be one of " + ", ".join(_NEEDED))
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


def checked_filter(types: Any, folder: Any, labels: Any) -> ChangeFilter:
    """Which changes a reader wants; ``InvalidInput`` for what no change can have."""
    if not _texts(types) or not set(types) <= set(FILE_EVENT_TYPES):
        raise InvalidInput.for_field("types", "must be of " + ", ".join(FILE_EVENT_TYPES))
    problem = _folder_problem(folder)
    if problem:
        raise InvalidInput.for_field("folder", problem)
    if not _texts(labels):
        raise InvalidInput.for_field("labels", f"must be a list of at most {TERMS_MAX} texts")
    problem = next((p for p in map(label_filter_problem, labels) if p), None)
    if problem:
        raise InvalidInput.for_field("labels", problem)
    return ChangeFilter(tuple(types), folder, tuple(map(label_filter, labels)))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= TERMS_MAX and all(isinstance(each, str) for each in value)


def _problem(field: str, value: Any) -> str | None:
    check = _CHECKS.get(field)
    if check is None:
        return "is not a known field"
    if value is None:
        return None if field in _MAY_BE_NULL else "must not be null"
    return check(value)


def _text_problem(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def _name_problem(value: Any) -> str | None:
    return _text_problem(value) or name_problem(value)


def _folder_problem(value: Any) -> str | None:
    return _text_problem(value) or folder_problem(value)


def _labels_problem(value: Any) -> str | None:
    return labels_problem(value) if isinstance(value, dict) else "must be an object of texts"


def _ref_problem(value: Any) -> str | None:
    if not isinstance(value, dict) or value.keys() != {"system", "key", "name"}:
        return "must have system, key and name"
    return system_problem(value["system"]) or key_problem(value["key"]) or _name_problem(value["name"])


def _if_match_problem(value: Any) -> str | None:
    valid = isinstance(value, list) and len(value) <= IF_MATCH_MAX and all(isinstance(tag, str) for tag in value)
    return None if valid else f"must be a list of at most {IF_MATCH_MAX} entity tags"


def _idempotency_problem(value: Any) -> str | None:
    if not isinstance(value, dict) or value.keys() != {"key", "fingerprint"}:
        return "must have key and fingerprint"
    key, fingerprint = value["key"], value["fingerprint"]
    if not isinstance(key, str) or not 1 <= len(key) <= IDEMPOTENCY_KEY_CHARACTERS or not _printable(key):
        return f"must have a key of 1 to {IDEMPOTENCY_KEY_CHARACTERS} printable ASCII characters"
    valid = isinstance(fingerprint, str) and _FINGERPRINT.fullmatch(fingerprint)
    return None if valid else "must have a fingerprint of 64 hexadecimal digits"


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _media_type_problem(value: Any) -> str | None:
    valid = isinstance(value, str) and len(value) <= 255 and _MEDIA_TYPE.fullmatch(value)
    return None if valid else "must be a media type"


def _change_key_problem(value: Any) -> str | None:
    return None if isinstance(value, str) and _CHANGE_KEY.fullmatch(value) else "must be a UUID in hexadecimal"


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "op": _text_problem,
    "by": id_problem,
    "owner": id_problem,
    "file_id": id_problem,
    "user_id": id_problem,
    "name": _name_problem,
    "path": _text_problem,
    "media_type": _media_type_problem,
    "folder": _folder_problem,
    "labels": _labels_problem,
    "ref": _ref_problem,
    "if_match": _if_match_problem,
    "idempotency": _idempotency_problem,
    "change_key": _change_key_problem,
    "request_id": _text_problem,
    "traceparent": _text_problem,
    "address": _text_problem,
    "session_id": _text_problem,
    "key_id": id_problem,
}
