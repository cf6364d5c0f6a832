"""Rows of ``user`` as what callers see."""

from __future__ import annotations

from docsave_services.contracts import User, UserDetails
from docsave_services.db.models import UserRow
from docsave_services.times import to_text


def as_user(row: UserRow) -> User:
    """The account, without the password's hash."""
    return {
        "id": row.id,
        "login": row.login,
        "name": row.name,
        "role": "admin" if row.role == "admin" else "user",
        "active": row.active,
        "created_at": to_text(row.created_at),
        "updated_at": to_text(row.updated_at),
    }


def as_details(row: UserRow) -> UserDetails:
    """The account as an administrator sees it."""
    return {**as_user(row), "quota_bytes": row.quota_bytes}
