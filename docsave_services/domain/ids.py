"""What can be an id: of a file, an account, a key, a webhook."""

from __future__ import annotations

from typing import TypeGuard

ID_MAX = 2**31 - 1
"""The columns of ids have 32 bits."""


def is_id(value: object) -> TypeGuard[int]:
    """Whether ``value`` can be an id. Callers on the bus send anything: larger numbers would be errors of the
    database's, and true and false are numbers to Python."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= ID_MAX


def id_problem(value: object) -> str | None:
    """Why ``value`` is no id, as the end of a sentence that starts with the field; None for one."""
    return None if is_id(value) else "must be an id"
