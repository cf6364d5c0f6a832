"""What other software remembers a file by: labels such as ``crm.deal`` with a value such as ``42``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LABELS_MAX = 32
LABEL_CHARACTERS_MAX = 64
VALUE_CHARACTERS_MAX = 255

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?", re.ASCII)


def labels_problem(labels: Mapping[Any, Any]) -> str | None:
    """Why no file can have these labels, as the end of a sentence that starts with the field; None for good ones."""
    if len(labels) > LABELS_MAX:
        return f"must have at most {LABELS_MAX} entries"
    return next((p for label, value in labels.items() if (p := label_problem(label) or _value_problem(value))), None)


def label_problem(label: Any) -> str | None:
    """Why this cannot be a label's name."""
    if isinstance(label, str) and len(label) <= LABEL_CHARACTERS_MAX and _LABEL.fullmatch(label):
        return None
    return f"must be named with at most {LABEL_CHARACTERS_MAX} of A-Z a-z 0-9 . _ : - and begin and end with the first"


def _value_problem(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > VALUE_CHARACTERS_MAX:
        return f"must have values that are text of at most {VALUE_CHARACTERS_MAX} characters"
    if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in value):
        return "must not have control characters in a value"
    return None
