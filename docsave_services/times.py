"""Points in time as docsave stores and shows them: UTC, whole milliseconds, RFC 3339 with ``Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from docsave_services.errors import InvalidInput

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TO_THE_MINUTE = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d)([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def now() -> datetime:
    """The current time in UTC, cut to milliseconds, so that what is stored is what was answered."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def to_text(moment: datetime) -> str:
    """``2026-11-24T10:15:00.000Z``."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def with_seconds(text: object) -> object:
    """``2026-11-24T10:00Z``, as people type a moment, with the seconds that RFC 3339 wants; anything else as it is."""
    match = _TO_THE_MINUTE.fullmatch(text) if isinstance(text, str) else None
    return f"{match[1]}:00{match[2]}" if match else text


def from_text(field: str, text: object) -> datetime:
    """The moment that an RFC 3339 text names, cut to milliseconds; ``InvalidInput`` about ``field`` otherwise."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) and _RFC_3339.fullmatch(text) else None
        if moment is not None:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise InvalidInput.for_field(field, "must be an RFC 3339 time such as 2026-11-24T10:15:00Z")
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
