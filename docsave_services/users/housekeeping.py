"""Forgetting what has run out, so that no table grows with time (but for the audit trail, which is kept)."""

from __future__ import annotations

from docsave_services.db.transactions import Transactions
from docsave_services.users import revoked, sessions, throttle

INTERVAL_SECONDS = 600


def forget_old(transactions: Transactions) -> None:
    """Each in a short transaction of its own; doing it twice at once is harmless."""
    for forget in (sessions.forget_old, revoked.forget_old, throttle.forget_old):
        transactions.write(forget, repeatable=True)
