"""Leases: a job that one process at a time should do."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from docsave_services.db.models import LeaseRow
from docsave_services.db.transactions import Transactions
from docsave_services.times import now


def take_lease(transactions: Transactions, name: str, holder: str, seconds: float) -> bool:
    """Take or prolong the lease ``name`` for ``holder``; False while another holds it.

    It rests on clocks that roughly agree, so it may only guard work that is harmless when done twice.
    """

    def take(session: Session) -> bool:
        moment = now()
        row = session.get(LeaseRow, name, with_for_update=True)
        if row is None:
            row = LeaseRow(name=name, holder=holder, expires_at=moment)
            session.add(row)
        elif row.holder != holder and row.expires_at > moment:
            return False
        row.holder = holder
        row.expires_at = moment + timedelta(seconds=seconds)
        return True

    try:
        return transactions.write(take)
    except IntegrityError:
        return False  # another process inserted the row first
