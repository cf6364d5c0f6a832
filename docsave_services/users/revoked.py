"""Telling the processes that verify tokens what they must refuse although it still looks valid.

A row is written in the transaction that revokes, and numbered in commit order under the lock of one row: whoever has
read up to a number has missed nothing below it. A row is needed for as long as a token issued before it may live.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, cast

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from docsave_services.contracts import Revocation, RevocationPage
from docsave_services.db.account_models import RevocationHeadRow, RevocationRow
from docsave_services.errors import InvalidInput
from docsave_services.times import now, to_text
from docsave_services.tokens import ACCESS_TOKEN_SECONDS

Kind = Literal["session", "user", "key"]
Revoked = tuple[Kind, str | int, int | None]
"""What to revoke: its kind, its id and, for a user, the lowest version that is still good."""

LIFE_SECONDS = ACCESS_TOKEN_SECONDS + 60
"""A minute longer than any access token, for clocks that differ."""


def revoke(session: Session, what: Iterable[Revoked]) -> None:
    """Add these revocations; comes last in a transaction, because it holds a lock that all others wait for."""
    wanted = list(what)
    if not wanted:
        return
    session.flush()
    session.execute(update(RevocationHeadRow).values(last=RevocationHeadRow.last + len(wanted)))
    last = session.execute(select(RevocationHeadRow.last)).scalar_one()
    until = now() + timedelta(seconds=LIFE_SECONDS)
    for seq, (kind, subject, min_version) in enumerate(wanted, last - len(wanted) + 1):
        session.add(RevocationRow(seq=seq, kind=kind, subject=str(subject), min_version=min_version, until=until))
    session.flush()


def read(session: Session, since: int | None) -> RevocationPage:
    """What was revoked after ``since`` and still matters, in commit order; everything for None.

    A place from the future (the database was restored) gives everything too.
    """
    if since is not None and (not isinstance(since, int) or isinstance(since, bool)):
        raise InvalidInput.for_field("since", "must be a whole number")
    last = session.execute(select(RevocationHeadRow.last)).scalar_one()
    place = since if since is not None and 0 <= since <= last else 0
    query = (
        select(RevocationRow)
        .where(RevocationRow.seq > place, RevocationRow.seq <= last, RevocationRow.until > now())
        .order_by(RevocationRow.seq)
    )
    return {"items": [_as_revocation(row) for row in session.scalars(query)], "seq": last}


def forget_old(session: Session) -> None:
    """Drop revocations of tokens that have run out by themselves."""
    session.execute(delete(RevocationRow).where(RevocationRow.until < now()))


def _as_revocation(row: RevocationRow) -> Revocation:
    return {
        "seq": row.seq,
        "kind": cast(Kind, row.kind),
        "id": row.subject if row.kind == "session" else int(row.subject),
        "min_version": row.min_version,
        "until": to_text(row.until),
    }
