"""The use cases of accounts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from docsave_services.contracts import Role, User
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.domain import accounts
from docsave_services.errors import (
    BadCredentials,
    FieldError,
    InvalidInput,
    LoginTaken,
    NotFound,
    WrongPassword,
)
from docsave_services.log import get_logger
from docsave_services.times import now, to_text
from docsave_services.users.passwords import hash_password, verify_password

_log = get_logger(__name__)


def create_user(transactions: Transactions, login: str, password: str, name: str | None, role: Role) -> User:
    """Create an account. The name defaults to the login. ``InvalidInput`` names each wrong field; ``LoginTaken``."""
    login = _text("login", login).strip()
    name = login if name is None else _text("name", name)
    if role not in ("user", "admin"):
        raise InvalidInput.for_field("role", "must be user or admin")
    _check(login=login, name=name, password=_text("password", password))
    moment = now()
    row = UserRow(
        login=login,
        login_key=accounts.login_key(login),
        name=name,
        password_hash=hash_password(password),
        role=role,
        active=True,
        quota_bytes=None,
        token_version=0,
        created_at=moment,
        updated_at=moment,
    )
    user = _save(transactions, row)
    _log.info("user_created", user_id=user["id"], role=role)
    return user


def authenticate(transactions: Transactions, login: str, password: str) -> User:
    """The user with that login and password, or ``BadCredentials`` in the same time for every reason."""
    login, password = _text("login", login), _text("password", password)
    key = accounts.login_key(login)
    row = transactions.read(lambda s: s.scalar(select(UserRow).where(UserRow.login_key == key)))
    known = _encodable(password) and verify_password(password, row.password_hash if row else None)
    if row is None or not known or not row.active:
        _log.info("login_refused", user_id=row.id if row else None)
        raise BadCredentials
    return _as_user(row)


def get_user(transactions: Transactions, user_id: int) -> User:
    """The user, or ``NotFound``."""
    return _as_user(transactions.read(lambda s: _find(s, user_id)))


def list_users(transactions: Transactions) -> list[User]:
    """Every account, oldest first."""
    return [_as_user(row) for row in transactions.read(lambda s: s.scalars(select(UserRow).order_by(UserRow.id)).all())]


def update_user(
    transactions: Transactions,
    user_id: int,
    changes: dict[str, str | None],
    current_password: str | None,
    require_current_password: bool,
) -> User:
    """Change ``login``, ``name`` or ``password`` (those that are not None).

    With ``require_current_password`` a new login or password is ``WrongPassword`` without the present one.
    """
    given = {field: _text(field, value) for field, value in changes.items() if value is not None}
    if "login" in given:
        given["login"] = given["login"].strip()
    before = transactions.read(lambda s: _find(s, user_id))
    _check(**{"login": before.login, **given})
    sensitive = "login" in given or "password" in given
    if sensitive and require_current_password:
        _demand_password(before, current_password)
    values = _columns(given)

    def change(session: Session) -> User:
        row = _find(session, user_id, lock=True)
        if sensitive and require_current_password and row.password_hash != before.password_hash:
            raise WrongPassword("the password was changed meanwhile")
        for column, value in values.items():
            setattr(row, column, value)
        if "password" in given:
            row.token_version += 1
        row.updated_at = now()
        session.flush()
        return _as_user(row)

    try:
        user = transactions.write(change)
    except IntegrityError as exc:
        raise LoginTaken from exc
    _log.info("user_updated", user_id=user_id, fields=sorted(given))
    return user


def _columns(given: dict[str, str]) -> dict[str, str]:
    values = {field: value for field, value in given.items() if field != "password"}
    if "login" in given:
        values["login_key"] = accounts.login_key(given["login"])
    if "password" in given:
        values["password_hash"] = hash_password(given["password"])
    return values


def _demand_password(row: UserRow, current_password: str | None) -> None:
    if current_password is None:
        raise WrongPassword("current_password is required for a new login or password")
    if not _encodable(current_password) or not verify_password(current_password, row.password_hash):
        raise WrongPassword


def _find(session: Session, user_id: int, lock: bool = False) -> UserRow:
    row = session.get(UserRow, user_id, with_for_update=lock) if _is_id(user_id) else None
    if row is None:
        raise NotFound
    return row


def _save(transactions: Transactions, row: UserRow) -> User:
    def add(session: Session) -> User:
        session.add(row)
        session.flush()
        return _as_user(row)

    try:
        return transactions.write(add)
    except IntegrityError as exc:
        raise LoginTaken from exc


def _check(login: str, name: str | None = None, password: str | None = None) -> None:
    problems = {
        "login": accounts.login_problem(login),
        "name": None if name is None else accounts.name_problem(name),
        "password": None if password is None else accounts.password_problem(password, login),
    }
    errors: list[FieldError] = [{"field": f, "message": m} for f, m in problems.items() if m]
    if errors:
        raise InvalidInput("; ".join(f"{e['field']} {e['message']}" for e in errors), errors)


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput.for_field(field, "must be a string")
    return value


def _encodable(text: str) -> bool:
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in text)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def _as_user(row: UserRow) -> User:
    return {
        "id": row.id,
        "login": row.login,
        "name": row.name,
        "role": "admin" if row.role == "admin" else "user",
        "active": row.active,
        "created_at": to_text(row.created_at),
        "updated_at": to_text(row.updated_at),
    }
