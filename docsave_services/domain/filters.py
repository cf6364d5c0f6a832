"""What a list may be narrowed by, as people write it: ``crm.deal=42``, ``image/*``, a part of a name."""

from __future__ import annotations

import re

from docsave_services.domain.labels import label_problem
from docsave_services.domain.names import NAME_CHARACTERS_MAX

LABEL_FILTERS_MAX = 5

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/(?:\*|[A-Za-z0-9!#$&^_.+-]{1,127})", re.ASCII)


def label_filter(text: str) -> tuple[str, str | None]:
    """The label that ``crm.deal=42`` asks for and its value; None for any value when there is no ``=``."""
    label, equals, value = text.partition("=")
    return label, value if equals else None


def label_filter_problem(text: str) -> str | None:
    """Why no label can be meant, as the end of a sentence that starts with the field; None for a good filter."""
    return label_problem(label_filter(text)[0]) or _text_problem(text)


def media_type_filter_problem(text: str) -> str | None:
    """Why this is neither a media type nor all of a kind; parameters are not part of a filter."""
    return None if _MEDIA_TYPE.fullmatch(text) else "must be a media type such as text/plain, or image/*"


def search_problem(text: str) -> str | None:
    """Why no name can be searched for this."""
    if len(text) > NAME_CHARACTERS_MAX:
        return f"must have at most {NAME_CHARACTERS_MAX} characters, as the longest name"
    return _text_problem(text)


def _text_problem(text: str) -> str | None:
    """SQLite ends a pattern at a NUL, and no database takes half of a surrogate pair."""
    if any(c == "\0" or 0xD800 <= ord(c) < 0xE000 for c in text):
        return "must be valid text without NUL"
    return None
