"""The shape of what callers of the users service send. They may be any peer on the bus, so nothing is believed."""

from __future__ import annotations

from typing import Any

from docsave_services.domain import accounts
from docsave_services.errors import FieldError, InvalidInput

LIMIT_MAX = 1000
QUOTA_BYTES_MAX = 2**62


def check_account(login: str, name: str | None = None, password: str | None = None) -> None:
    """``InvalidInput`` naming each field that cannot be so."""
    problems = {
        "login": accounts.login_problem(login),
        "name": None if name is None else accounts.name_problem(name),
        "password": None if password is None else accounts.password_problem(password, login),
    }
    _raise([{"field": f, "message": m} for f, m in problems.items() if m])


def check_powers(role: Any, active: Any, quota_bytes: Any) -> None:
    """``InvalidInput`` naming each field that an administrator cannot set so; None and "keep" are always good."""
    errors: list[FieldError] = []
    if role not in (None, "user", "admin"):
        errors.append({"field": "role", "message": "must be user or admin"})
    if active is not None and not isinstance(active, bool):
        errors.append({"field": "active", "message": "must be true or false"})
    if quota_bytes not in (None, "keep") and not (_is_integer(quota_bytes) and 0 <= quota_bytes <= QUOTA_BYTES_MAX):
        errors.append({"field": "quota_bytes", "message": f"must be null or a whole number up to {QUOTA_BYTES_MAX}"})
    _raise(errors)


def page_place(limit: Any, after: Any) -> int:
    """The id that a page of accounts follows."""
    if not _is_integer(limit) or not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput.for_field("limit", f"must be from 1 to {LIMIT_MAX}")
    if after is None:
        return 0
    if not isinstance(after, str) or not after.isascii() or not after.isdigit() or len(after) > 10:
        raise InvalidInput.for_field("after", "is not a cursor")
    return int(after)


def text(field: str, value: Any) -> str:
    """``value`` when it is a string."""
    if not isinstance(value, str):
        raise InvalidInput.for_field(field, "must be a string")
    return value


def encodable(value: str) -> bool:
    """Whether ``value`` is Unicode that can be encoded: no lone surrogates."""
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _raise(errors: list[FieldError]) -> None:
    if errors:
        raise InvalidInput("; ".join(f"{e['field']} {e['message']}" for e in errors), errors)
