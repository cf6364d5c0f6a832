"""What a user's files take up, and whether more fits: known in the transaction that changes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from sqlalchemy import Table, bindparam, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from docsave_services.contracts import Usage
from docsave_services.db.file_models import FileUsageRow
from docsave_services.db.models import UserRow
from docsave_services.errors import NotFound, QuotaExceeded

# Each change of a file needs these. Put together anew each time they took half the time of a small transaction.
_USERS, _USAGE = cast(Table, UserRow.__table__), cast(Table, FileUsageRow.__table__)
_QUOTAS = (
    select(_USERS.c.id, _USERS.c.quota_bytes)
    .where(_USERS.c.id.in_(bindparam("user_ids", expanding=True)), _USERS.c.quota_bytes.is_not(None))
    .order_by(_USERS.c.id)
)
_ADD = (
    _USAGE.update()
    .where(_USAGE.c.user_id == bindparam("of_user"))
    .values(files=_USAGE.c.files + bindparam("more_files"), used_bytes=_USAGE.c.used_bytes + bindparam("more_bytes"))
)


def usage_of(session: Session, user_id: int) -> Usage:
    """What the user's files take up, those in the trash included; ``NotFound`` without such a user."""
    quota = session.execute(select(UserRow.quota_bytes).where(UserRow.id == user_id)).one_or_none()
    if quota is None:
        raise NotFound
    used = session.get(FileUsageRow, user_id)
    return {
        "user_id": user_id,
        "files": used.files if used else 0,
        "used_bytes": used.used_bytes if used else 0,
        "quota_bytes": quota[0],
    }


class UsageLedger:
    """The usage of the users that a batch touches. Those with a quota are locked, so that two batches of one user
    cannot both take what is left; for all others a sum at the end is enough."""

    def __init__(self, session: Session, user_ids: Iterable[int]) -> None:
        self._session = session
        self._left: dict[int, int] = {}
        self._changes: dict[int, tuple[int, int]] = {}
        for user_id, quota in self._quotas(set(user_ids)):
            self._add(user_id, 0, 0)  # takes the lock, and makes the row where there is none
            used = session.scalars(select(FileUsageRow.used_bytes).where(FileUsageRow.user_id == user_id)).one()
            self._left[user_id] = quota - used

    def change(self, user_id: int | None, files: int, size: int) -> None:
        """Count ``files`` more and ``size`` bytes more (or less); ``QuotaExceeded`` when that does not fit."""
        if user_id is None:
            return
        if user_id in self._left:
            if 0 < size > self._left[user_id]:
                raise QuotaExceeded
            self._left[user_id] -= size
        before = self._changes.get(user_id, (0, 0))
        self._changes[user_id] = (before[0] + files, before[1] + size)

    def write(self) -> None:
        """Write what was counted, in the order of ids, as all who lock several users do."""
        for user_id in sorted(self._changes):
            files, size = self._changes[user_id]
            if files or size:
                self._add(user_id, files, size)

    def _quotas(self, user_ids: set[int]) -> list[tuple[int, int]]:
        found = self._session.connection().execute(_QUOTAS, {"user_ids": list(user_ids)})
        return [(user_id, quota) for user_id, quota in found]

    def _add(self, user_id: int, files: int, size: int) -> None:
        sums = {"of_user": user_id, "more_files": files, "more_bytes": size}
        changed = self._session.connection().execute(_ADD, sums)
        if changed.rowcount == 0:
            self._insert(user_id, files, size)

    def _insert(self, user_id: int, files: int, size: int) -> None:
        """Add the row, or to the one that another transaction added a moment ago."""
        more = {"files": FileUsageRow.files + files, "used_bytes": FileUsageRow.used_bytes + size}
        first = {"user_id": user_id, "files": files, "used_bytes": size}
        if self._session.get_bind().dialect.name == "sqlite":
            insert = sqlite.insert(FileUsageRow).values(first)
            self._session.execute(insert.on_conflict_do_update(index_elements=["user_id"], set_=more))
        else:
            self._session.execute(mysql.insert(FileUsageRow).values(first).on_duplicate_key_update(more))
