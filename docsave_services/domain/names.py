"""What a file may be called. Names are data: kept as sent, never used as a path."""

from __future__ import annotations

import unicodedata

NAME_CHARACTERS_MAX = 255

_BIDIRECTIONAL_CONTROLS = frozenset(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
"""They make ``exe.fdp`` look like ``pdf.exe`` (Trojan Source, CVE-2021-42574)."""


def name_problem(name: str) -> str | None:
    """Why no file can have this name, as the end of a sentence that starts with the field; None for a good name."""
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        return f"must have 1 to {NAME_CHARACTERS_MAX} characters"
    if name in (".", ".."):
        return "must not be . or .."
    if name.isspace():
        return "must not consist of spaces only"
    return next((problem for problem in map(_character_problem, name) if problem), None)


def _character_problem(character: str) -> str | None:
    if character in "/\\":
        return "must not contain / or \\"
    if character in _BIDIRECTIONAL_CONTROLS:
        return "must not contain bidirectional controls"
    category = unicodedata.category(character)
    if category == "Cc":
        return "must not contain control characters"
    if category == "Cs":
        return "must be valid Unicode"
    return None
