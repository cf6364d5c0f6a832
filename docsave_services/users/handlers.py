"""The use cases of accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from docsave_services.contracts import Role, User, UserDetails, UserPage
from docsave_services.db import audit
from docsave_services.db.audit import OPERATOR, Actor
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.domain import accounts
from docsave_services.domain.ids import is_id
from docsave_services.errors import (
    BadCredentials,
    LastAdministrator,
    LoginTaken,
    NotFound,
    WrongPassword,
)
from docsave_services.log import get_logger
from docsave_services.times import now
from docsave_services.users import revoked
from docsave_services.users.passwords import hash_password, verify_password
from docsave_services.users.rows import as_details, as_user
from docsave_services.users.sessions import revoke_sessions
from docsave_services.users.throttle import Attempt
from docsave_services.users.validation import check_account, check_powers, encodable, page_place, text

_log = get_logger(__name__)

Keep = Literal["keep"]


@dataclass(frozen=True, slots=True)
class Powers:
    """What only an administrator changes; None, or "keep" where None means something, leaves it as it is."""

    role: Role | None = None
    active: bool | None = None
    quota_bytes: int | Keep | None = "keep"

    def changes(self, row: UserRow) -> dict[str, Any]:
        """The columns that would become different."""
        wanted: dict[str, Any] = {}
        if self.role is not None:
            wanted["role"] = self.role
        if self.active is not None:
            wanted["active"] = self.active
        if self.quota_bytes != "keep":
            wanted["quota_bytes"] = self.quota_bytes
        return {column: value for column, value in wanted.items() if getattr(row, column) != value}


NO_POWERS = Powers()


def create_user(
    transactions: Transactions, login: str, password: str, name: str | None, role: Role, actor: Actor = OPERATOR
) -> User:
    """Create an account. The name defaults to the login. ``InvalidInput`` names each wrong field; ``LoginTaken``."""
    login = text("login", login).strip()
    name = login if name is None else text("name", name)
    check_powers(role, None, "keep")
    check_account(login=login, name=name, password=text("password", password))
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

    def add(session: Session) -> User:
        session.add(row)
        session.flush()
        audit.record(session, "user_created", row.id, actor, role=role)
        return as_user(row)

    try:
        user = transactions.write(add)
    except IntegrityError as exc:
        raise LoginTaken from exc
    _log.info("user_created", user_id=user["id"], role=role)
    return user


def authenticate(transactions: Transactions, login: str, password: str) -> User:
    """The user with that login and password, or ``BadCredentials`` in the same time for every reason."""
    return as_user(verify_credentials(transactions, login, password))


def verify_credentials(
    transactions: Transactions, login: str, password: str, actor: Actor = OPERATOR, turn_by: float | None = None
) -> UserRow:
    """The same as a row; a refusal is written to the audit trail. ``turn_by`` as for ``verify_password``."""
    login, password = text("login", login), text("password", password)
    row = transactions.read(lambda s: find_login(s, login))
    known = encodable(password) and verify_password(password, row.password_hash if row else None, turn_by)
    if row is not None and known and row.active:
        return row
    user_id = row.id if row else None
    _log.info("login_refused", user_id=user_id)
    # Never the login as it was typed: people type passwords into the wrong field.
    transactions.write(lambda s: audit.record(s, "login_failed", user_id, actor, known_login=row is not None))
    raise BadCredentials


def get_user(transactions: Transactions, user_id: int) -> User:
    """The user, or ``NotFound``."""
    return as_user(transactions.read(lambda s: find_user(s, user_id)))


def get_user_details(transactions: Transactions, user_id: int) -> UserDetails:
    """The user as an administrator sees it, or ``NotFound``."""
    return as_details(transactions.read(lambda s: find_user(s, user_id)))


def list_users(transactions: Transactions) -> list[User]:
    """Every account, oldest first."""
    return [as_user(row) for row in transactions.read(lambda s: s.scalars(select(UserRow).order_by(UserRow.id)).all())]


def page_users(transactions: Transactions, limit: int, after: str | None, q: str | None) -> UserPage:
    """A page of accounts, oldest first; ``q`` is part of a login, whatever its case."""
    query = select(UserRow).where(UserRow.id > page_place(limit, after)).order_by(UserRow.id).limit(limit + 1)
    if q:
        query = query.where(UserRow.login_key.contains(accounts.login_key(text("q", q)), autoescape=True))
    rows = transactions.read(lambda s: s.scalars(query).all())
    more = len(rows) > limit
    return {"items": [as_details(row) for row in rows[:limit]], "next": str(rows[limit - 1].id) if more else None}


def update_user(
    transactions: Transactions,
    user_id: int,
    changes: dict[str, str | None],
    current_password: str | None,
    require_current_password: bool,
    powers: Powers = NO_POWERS,
    actor: Actor = OPERATOR,
) -> User:
    """Change ``login``, ``name`` or ``password`` (those that are not None) and what ``powers`` says.

    With ``require_current_password`` a new login or password is ``WrongPassword`` without the present one. A new
    password and a disabled account end every session; those and a lowered role end every access token.
    ``LastAdministrator`` when nobody would be left to administer.
    """
    given = {field: text(field, value) for field, value in changes.items() if value is not None}
    if "login" in given:
        given["login"] = given["login"].strip()
    check_powers(powers.role, powers.active, powers.quota_bytes)
    before = transactions.read(lambda s: find_user(s, user_id))
    check_account(**{"login": before.login, **given})
    sensitive = "login" in given or "password" in given
    if sensitive and require_current_password:
        _demand_password(transactions, before, current_password, actor)
    values = _columns(given)

    def change(session: Session) -> User:
        if powers.role == "user" or powers.active is False:
            _keep_an_administrator(session, user_id)
        row = find_user(session, user_id, lock=True)
        if sensitive and require_current_password and row.password_hash != before.password_hash:
            raise WrongPassword("the password was changed meanwhile")
        granted = powers.changes(row)
        for column, value in {**values, **granted}.items():
            setattr(row, column, value)
        row.updated_at = now()
        session.flush()
        _tell(session, row, given, granted, actor)
        return as_user(row)

    try:
        user = transactions.write(change)
    except IntegrityError as exc:
        raise LoginTaken from exc
    _log.info("user_updated", user_id=user_id, fields=sorted(given))
    return user


def end_sessions(transactions: Transactions, user_id: int, actor: Actor = OPERATOR) -> int:
    """End every session and every access token of the account; returns how many sessions were live."""

    def end(session: Session) -> int:
        row = find_user(session, user_id, lock=True)
        ended = len(revoke_sessions(session, user_id))
        row.token_version += 1
        audit.record(session, "sessions_revoked", user_id, actor, sessions=ended)
        revoked.revoke(session, [("user", user_id, row.token_version)])
        return ended

    return transactions.write(end)


def find_user(session: Session, user_id: int, lock: bool = False) -> UserRow:
    """The account's row, or ``NotFound``."""
    row = session.get(UserRow, user_id, with_for_update=lock) if is_id(user_id) else None
    if row is None:
        raise NotFound
    return row


def find_login(session: Session, login: str) -> UserRow | None:
    """The account with that login, whatever its case."""
    if accounts.login_problem(login.strip()):
        return None
    return session.scalar(select(UserRow).where(UserRow.login_key == accounts.login_key(login)))


def _tell(session: Session, row: UserRow, given: dict[str, str], granted: dict[str, Any], actor: Actor) -> None:
    """Write the trail, and end what the change ends."""
    if "password" in given:
        audit.record(session, "password_changed", row.id, actor)
    fields = sorted(set(given) - {"password"})
    if fields or granted:
        audit.record(session, "user_updated", row.id, actor, fields=fields, **granted)
    ends_sessions = "password" in given or granted.get("active") is False
    if ends_sessions:
        revoke_sessions(session, row.id)
    if ends_sessions or granted.get("role") == "user":
        row.token_version += 1
        revoked.revoke(session, [("user", row.id, row.token_version)])


def _keep_an_administrator(session: Session, user_id: int) -> None:
    """Lock all active administrators, in the order of their ids: two who disable each other must not both succeed."""
    query = select(UserRow).where(UserRow.role == "admin", UserRow.active == true()).order_by(UserRow.id)
    ids = [row.id for row in session.scalars(query.with_for_update())]
    if ids == [user_id]:
        raise LastAdministrator


def _columns(given: dict[str, str]) -> dict[str, str]:
    values = {field: value for field, value in given.items() if field != "password"}
    if "login" in given:
        values["login_key"] = accounts.login_key(given["login"])
    if "password" in given:
        values["password_hash"] = hash_password(given["password"])
    return values


def _demand_password(transactions: Transactions, row: UserRow, current_password: str | None, actor: Actor) -> None:
    """``WrongPassword`` unless it is the present one; whoever has only a stolen token must not guess on."""
    if current_password is None:
        raise WrongPassword("current_password is required for a new login or password")
    password = text("current_password", current_password)
    with Attempt(transactions, f"\0present password of {row.id}", actor, lambda _session: row.id):
        if not encodable(password) or not verify_password(password, row.password_hash):
            raise WrongPassword
