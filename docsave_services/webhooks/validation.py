"""The shape of what callers of the webhooks service send. They may be any peer on the bus, so nothing is believed."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from docsave_services.contracts import FILE_EVENT_TYPES
from docsave_services.db.webhook_models import DESCRIPTION_CHARACTERS
from docsave_services.domain.filters import LABEL_FILTERS_MAX, label_filter_problem
from docsave_services.domain.folders import folder_problem
from docsave_services.domain.ids import is_id
from docsave_services.domain.references import system_problem
from docsave_services.domain.webhook_targets import url_problem
from docsave_services.errors import FieldError, InvalidInput, NotFound
from docsave_services.webhooks.limits import PAGE_MAX


def checked_fields(given: Mapping[str, Any], allow_private: bool) -> dict[str, Any]:
    """``given`` when each field is one that a caller may set, and good; ``InvalidInput`` with each wrong one."""
    if not isinstance(given, Mapping):
        raise InvalidInput.for_field("fields", "must be an object")
    errors: list[FieldError] = []
    for field, value in given.items():
        problem = _url_problem(value, allow_private) if field == "url" else _CHECKS.get(field, _unknown)(value)
        if problem:
            errors.append({"field": field, "message": problem})
    if errors:
        raise InvalidInput("; ".join(f"{e['field']} {e['message']}" for e in errors), errors)
    return dict(given)


def checked_id(value: Any) -> int:
    """``value`` when it can be an id; ``NotFound`` otherwise."""
    if not is_id(value):
        raise NotFound
    return value


def is_number(value: Any, below: int = 2**63) -> bool:
    """Whether it is a whole number from 1 to below that."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < below


def page_place(limit: Any, after: Any) -> int:
    """The id that a page begins at; 0 for the first."""
    if not is_number(limit, PAGE_MAX + 1):
        raise InvalidInput.for_field("limit", f"must be from 1 to {PAGE_MAX}")
    if after is None:
        return 0
    if not isinstance(after, str) or not after.isascii() or not after.isdigit() or len(after) > 18:
        raise InvalidInput.for_field("after", "is not a cursor")
    return int(after)


def _url_problem(value: Any, allow_private: bool) -> str | None:
    return url_problem(value, allow_private) if isinstance(value, str) else "must be a string"


def _description_problem(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > DESCRIPTION_CHARACTERS:
        return f"must be text of at most {DESCRIPTION_CHARACTERS} characters"
    unwanted = any(unicodedata.category(character) in ("Cc", "Cs") for character in value)
    return "must not have control characters" if unwanted else None


def _events_problem(value: Any) -> str | None:
    good = isinstance(value, list) and value and all(isinstance(v, str) and v in FILE_EVENT_TYPES for v in value)
    valid = good and len(set(value)) == len(value)
    return None if valid else "must be a list of at least one of " + ", ".join(FILE_EVENT_TYPES) + ", each once"


def _folder_problem(value: Any) -> str | None:
    return folder_problem(value) if isinstance(value, str) else "must be a string"


def _labels_problem(value: Any) -> str | None:
    texts = isinstance(value, list) and len(value) <= LABEL_FILTERS_MAX and all(isinstance(v, str) for v in value)
    if not texts:
        return f"must be a list of at most {LABEL_FILTERS_MAX} filters such as crm.deal=42"
    return next((problem for problem in map(label_filter_problem, value) if problem), None)


def _system_problem(value: Any) -> str | None:
    return None if value is None else system_problem(value)


def _flag_problem(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _state_problem(value: Any) -> str | None:
    return None if value in ("active", "paused") else "must be active or paused"


def _unknown(_value: Any) -> str:
    return "is not a known field"


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "description": _description_problem,
    "events": _events_problem,
    "folder": _folder_problem,
    "labels": _labels_problem,
    "system": _system_problem,
    "all_users": _flag_problem,
    "state": _state_problem,
}
