"""Which endpoints this process delivers to: a lease for each, so that no other does so at the same time."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docsave_services.contracts import WebhookNews
from docsave_services.db.account_models import ApiKeyRow
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.db.webhook_models import WebhookRow
from docsave_services.domain.change_filter import ChangeFilter
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.filters import label_filter
from docsave_services.times import now
from docsave_services.tokens import KeyRing
from docsave_services.webhooks.endpoints import disable
from docsave_services.webhooks.limits import LEASE_SECONDS, RENEW_SECONDS
from docsave_services.webhooks.rows import cursor_of
from docsave_services.webhooks.sealed import Unreadable, is_current, seal, unseal

_LEASE = timedelta(seconds=LEASE_SECONDS)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an endpoint stands: everything up to ``cursor`` is delivered, the next event has failed ``tries`` times.

    ``moves`` is the row's: progress that was made before somebody moved the endpoint does not count any more.
    """

    cursor: Cursor
    tries: int
    failing_since: datetime | None
    retry_at: datetime | None
    moves: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as it was when this process last looked at it. ``user_id`` None hears of everybody's changes."""

    id: int
    url: str
    user_id: int | None
    wanted: ChangeFilter
    active: bool
    requests: bool
    secrets: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """An endpoint of this process until ``ends`` (seconds of the monotonic clock), and its progress as written down."""

    endpoint: Endpoint
    progress: Progress
    ends: float


@dataclass(frozen=True, slots=True)
class _Known:
    """An endpoint with what decides whether it may hear of anything."""

    row: WebhookRow
    owner_active: bool
    owner_role: str
    key_revoked_at: datetime | None
    key_expires_at: datetime | None

    def end(self, keys: KeyRing, moment: datetime) -> str | None:
        """Why it must be disabled; None: it need not be."""
        if self.row.state != "active" or not self.owner_active:
            return None
        if self.key_revoked_at is not None or (self.key_expires_at is not None and self.key_expires_at <= moment):
            return "key_ended"
        if self.row.all_users and self.owner_role != "admin":
            return "not_administrator"
        return None if _secret(keys, self.row.secret) else "secret_unreadable"

    def has_work(self, keys: KeyRing) -> bool:
        """Whether some process should have it."""
        wanted = self.row.state == "active" or self.row.requests
        return wanted and self.owner_active and _secret(keys, self.row.secret) is not None

    def must_be_taken(self, holder: str, moment: datetime) -> bool:
        """Whether it is free, or ours but not for much longer."""
        until = self.row.held_until
        if self.row.holder is None or until is None:
            return True
        if self.row.holder == holder:
            return until < moment + timedelta(seconds=RENEW_SECONDS)
        # Nobody takes a lease for so long: it was taken before the clock was set back.
        return until <= moment or until > moment + 2 * _LEASE

    def is_ours(self, holder: str, moment: datetime) -> bool:
        """Whether this process has it now."""
        return self.row.holder == holder and self.row.held_until is not None and self.row.held_until > moment

    def stale_seal(self, keys: KeyRing) -> bool:
        """Whether a secret is sealed with the key that will go."""
        return not all(is_current(keys, text) for text in _sealed(self.row))


def take(transactions: Transactions, keys: KeyRing, holder: str) -> tuple[list[Claim], list[WebhookNews]]:
    """Prolong what is ours and take what is free. An endpoint whose owner is disabled is left alone; one that may not
    go on for another reason is disabled, which the second result tells of.

    It rests on clocks that roughly agree. Where they do not, an event may be delivered twice, never not at all.
    """
    measured, moment = time.monotonic(), now()
    known = transactions.read(_look)
    unsettled = [
        each
        for each in known
        if each.end(keys, moment)
        or each.stale_seal(keys)
        or (each.has_work(keys) and each.must_be_taken(holder, moment))
    ]
    news: list[WebhookNews] = []
    if unsettled:
        news = transactions.write(lambda s: _settle(s, unsettled, keys, holder, moment))
        known = transactions.read(_look)
    ours = [each.row for each in known if each.has_work(keys) and each.is_ours(holder, moment)]
    return [_claim(row, keys, moment, measured) for row in ours], news


def release(transactions: Transactions, holder: str) -> None:
    """Give everything back, so that another process need not wait for the leases to end."""
    given_up = update(WebhookRow).where(WebhookRow.holder == holder).values(holder=None, held_until=None)
    transactions.write(lambda s: s.execute(given_up))


def _look(session: Session) -> list[_Known]:
    query = (
        select(WebhookRow, UserRow.active, UserRow.role, ApiKeyRow.revoked_at, ApiKeyRow.expires_at)
        .join(UserRow, UserRow.id == WebhookRow.user_id)
        .outerjoin(ApiKeyRow, ApiKeyRow.id == WebhookRow.key_id)
        .order_by(WebhookRow.id)
    )
    return [_Known(*found) for found in session.execute(query)]


def _settle(
    session: Session, unsettled: list[_Known], keys: KeyRing, holder: str, moment: datetime
) -> list[WebhookNews]:
    news = []
    for each in unsettled:
        row = session.get(WebhookRow, each.row.id, with_for_update=True)
        if row is None:
            continue
        fresh = replace(each, row=row)
        if reason := fresh.end(keys, moment):
            news.append(disable(session, row, reason))
        if fresh.stale_seal(keys):
            _seal_again(row, keys)
        if fresh.has_work(keys) and fresh.must_be_taken(holder, moment):
            row.holder, row.held_until = holder, moment + _LEASE
    return news


def _seal_again(row: WebhookRow, keys: KeyRing) -> None:
    """Under the present key. What no key opens stays as it is: the key may come back."""
    if secret := _secret(keys, row.secret):
        row.secret = seal(keys, secret)
    if row.old_secret is not None and (old := _secret(keys, row.old_secret)):
        row.old_secret = seal(keys, old)


def _sealed(row: WebhookRow) -> list[str]:
    return [row.secret] if row.old_secret is None else [row.secret, row.old_secret]


def _secret(keys: KeyRing, text: str) -> bytes | None:
    try:
        return unseal(keys, text)
    except Unreadable:
        return None


def _claim(row: WebhookRow, keys: KeyRing, moment: datetime, measured: float) -> Claim:
    wanted_labels = json.loads(row.labels) + ([row.system] if row.system else [])
    sealed = [row.secret]
    if row.old_secret is not None and row.old_secret_until is not None and row.old_secret_until > moment:
        sealed.append(row.old_secret)
    held = (row.held_until - moment).total_seconds() if row.held_until else 0.0
    return Claim(
        endpoint=Endpoint(
            id=row.id,
            url=row.url,
            user_id=None if row.all_users else row.user_id,
            wanted=ChangeFilter(tuple(json.loads(row.events)), row.folder, tuple(map(label_filter, wanted_labels))),
            active=row.state == "active",
            requests=row.requests,
            secrets=tuple(secret for text in sealed if (secret := _secret(keys, text))),
        ),
        progress=Progress(cursor_of(row), row.tries, row.failing_since, row.retry_at, row.moves),
        ends=measured + min(held, LEASE_SECONDS),
    )
