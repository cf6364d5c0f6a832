"""Kinds of values that several requests have."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from docsave_services.domain.cursor import Cursor
from docsave_services.domain.filters import label_filter_problem
from docsave_services.domain.folders import folder_problem
from docsave_services.domain.ids import ID_MAX
from docsave_services.domain.labels import labels_problem
from docsave_services.domain.names import name_problem
from docsave_services.errors import BadJson
from docsave_services.times import to_text, with_seconds
from gateway_http.schemas import _shapes as shapes
from gateway_http.strict_json import parse_json

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


def whole_number(value: Any) -> Any:
    """Query strings are text; only plain decimal digits count as a number (no sign, space or underscore)."""
    return int(value) if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value) else value


def distinct_ids(value: Any) -> Any:
    """The numbers of a list, each once."""
    return [whole_number(part) for part in dict.fromkeys(value.split(","))] if isinstance(value, str) else value


def flag(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def object_in_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value.encode("utf-8", "surrogatepass"))
    except BadJson as exc:
        raise ValueError("must be a JSON object of texts") from exc


def moment(value: str) -> str:
    """The time as docsave writes it (UTC, milliseconds), so that services see one form only."""
    # Python reads more than RFC 3339 allows, such as week numbers.
    if not _RFC_3339.fullmatch(value):
        raise ValueError("must be a time like 2026-11-24T10:15:00Z")
    try:
        return to_text(datetime.fromisoformat(value.upper()))
    except (ValueError, OverflowError) as exc:
        raise ValueError("is not a time that exists") from exc


def place(value: str) -> str:
    """A place in the journal: a cursor, or a moment, also one without seconds."""
    try:
        return str(Cursor.parse(value))
    except ValueError:
        return moment(str(with_seconds(value)))


def good(check: Callable[[Any], str | None]) -> AfterValidator:
    """Refuses a value that ``check`` has something to say about."""

    def refuse(value: Any) -> Any:
        problem = check(value)
        if problem:
            raise ValueError(problem)
        return value

    return AfterValidator(refuse)


FileName = Annotated[str, good(name_problem), shapes.FILE_NAME]
FolderPath = Annotated[str, good(folder_problem), shapes.FOLDER]
Labels = Annotated[dict[str, str], good(labels_problem), shapes.LABELS]
LabelFilter = Annotated[str, good(label_filter_problem), shapes.LABEL_FILTER]
FileId = Annotated[int, Field(ge=1, le=ID_MAX)]
Bytes = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(whole_number)]
Moment = Annotated[str, AfterValidator(moment), shapes.MOMENT]
Place = Annotated[str, Field(max_length=100), AfterValidator(place), shapes.PLACE]
"""A moment in RFC 3339, or the cursor of an event."""

Limit = Annotated[int, Field(ge=1, le=1000), BeforeValidator(whole_number)]
After = Annotated[str, Field(max_length=4096)] | None
"""The ``next`` of the page before."""
