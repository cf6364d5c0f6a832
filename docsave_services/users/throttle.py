"""Slowing down who guesses passwords, in a way that locks nobody out.

Failures are counted for the login at one address, and for the address over all logins; each makes the next pause
twice as long, up to a cap. What is counted for the login over all addresses never refuses by itself (anybody could
then lock a colleague out): it only takes the free attempts away that a fresh address would have. So the owner of an
account always gets an attempt from an address of their own, whatever others do elsewhere.

The counts are rows, so all processes share them. An attempt is counted as pending before the password is looked at;
refused attempts do not count. The audit trail gets one line about each pause that refuses somebody, not one about each
refusal: an attack shows in it and cannot flood it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from docsave_services.db.account_models import ThrottleRow
from docsave_services.db.audit import Actor, record
from docsave_services.db.transactions import Transactions
from docsave_services.domain.accounts import login_key
from docsave_services.errors import BadCredentials, DatabaseUnavailable, DocsaveError, TooManyRequests, WrongPassword
from docsave_services.log import get_logger
from docsave_services.times import now
from docsave_services.users.validation import text

_log = get_logger(__name__)

LOGIN_FREE = 5
"""Failures of one login at one address before the first pause."""

LOGIN_PAUSE_MAX_SECONDS = 900

ADDRESS_FREE = 50
"""Failures of one address over all logins before the first pause; an office may share an address."""

ADDRESS_PAUSE_MAX_SECONDS = 300

UNDER_ATTACK_FAILURES = 50
"""From this many failures of one login over all addresses on, a fresh address has a single free attempt."""

PENDING_MAX = 32
"""Attempts of one login at one address that may be under way at once."""

PENDING_SECONDS = 30
"""Pending attempts older than this were lost with their process."""

FORGET_SECONDS = 3600
"""After so long without a failure or a pause everything is forgiven."""

_INSERT_RETRIES = 5


@dataclass(frozen=True, slots=True)
class _Subjects:
    """The rows that one attempt touches."""

    pair: str
    address: str
    login: str

    @classmethod
    def of(cls, login: str, address: str | None) -> _Subjects:
        key, network = login_key(login), network_of(address)
        return cls(_digest("pair", key, network), _digest("address", network), _digest("login", key))


class Attempt:
    """``with Attempt(…):`` around the check of a password. ``TooManyRequests`` instead, while a pause lasts.

    ``whose`` finds the id of the account that is tried, for the audit trail.
    """

    def __init__(
        self, transactions: Transactions, login: str, actor: Actor, whose: Callable[[Session], int | None]
    ) -> None:
        self._transactions = transactions
        self._subjects = _Subjects.of(text("login", login), actor.address)
        self._actor = actor
        self._whose = whose

    def __enter__(self) -> None:
        pause = self._write(self._begin)
        if pause > 0:
            raise TooManyRequests.after(math.ceil(pause))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        failed = isinstance(exc, BadCredentials | WrongPassword)
        try:
            self._write(lambda s: self._end(s, failed=failed, succeeded=exc is None))
        except DocsaveError as problem:
            if exc is None:
                raise
            _log.warning("attempt_not_counted", error=problem.code)  # the first error is the one to tell

    def _begin(self, session: Session) -> float:
        moment = now()
        rows = _locked(session, self._subjects, moment)
        pair, address = rows[self._subjects.pair], rows[self._subjects.address]
        longest = max((pair, address), key=lambda row: _remaining(row, moment))
        pause = _remaining(longest, moment)
        if pause > 0:
            self._tell_once(session, longest, moment, pause)
            return pause
        if pair.pending >= PENDING_MAX:
            return 1.0
        pair.pending += 1
        pair.last_at = moment
        return 0.0

    def _end(self, session: Session, failed: bool, succeeded: bool) -> float:
        moment = now()
        rows = _locked(session, self._subjects, moment)
        pair, address, login = (rows[s] for s in (self._subjects.pair, self._subjects.address, self._subjects.login))
        pair.pending = max(0, pair.pending - 1)
        if succeeded:
            pair.failures, pair.blocked_until = 0, None
        if not failed:
            return 0.0
        free = LOGIN_FREE if login.failures < UNDER_ATTACK_FAILURES else 1
        _count(pair, moment, free, LOGIN_PAUSE_MAX_SECONDS)
        _count(address, moment, ADDRESS_FREE, ADDRESS_PAUSE_MAX_SECONDS)
        login.failures += 1
        login.last_at = moment
        return 0.0

    def _tell_once(self, session: Session, row: ThrottleRow, moment: datetime, pause: float) -> None:
        """Write of this pause of ``row``, unless the trail has it: what was told last is a row beside it."""
        subject = _digest("told", row.subject)
        told = session.get(ThrottleRow, subject)
        if told is None:
            told = ThrottleRow(subject=subject, failures=0, pending=0, last_at=moment, blocked_until=None)
            session.add(told)
        if told.blocked_until == row.blocked_until:
            return
        told.last_at, told.blocked_until = moment, row.blocked_until
        # A pause of the address is about no account: whoever is refused first is met by chance.
        about_login = row.subject == self._subjects.pair
        user_id = self._whose(session) if about_login else None
        counted = "login" if about_login else "address"
        record(
            session, "login_throttled", user_id, self._actor,
            counted=counted, failures=row.failures, seconds=math.ceil(pause),
        )  # fmt: skip

    def _write(self, work: Callable[[Session], float]) -> float:
        for _ in range(_INSERT_RETRIES):
            try:
                return self._transactions.write(work)
            except IntegrityError:
                continue  # another attempt made the same row a moment earlier
        raise DatabaseUnavailable


def network_of(address: str | None) -> str:
    """What counts as one address: an IPv4 address, the /64 that one IPv6 subscriber has, or "" for none."""
    if not address:
        return ""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def pause_after(failures: int, free: int, most: int) -> int:
    """Seconds to wait after so many failures: 0 while they are free, then 1, 2, 4… up to ``most``."""
    return 0 if failures < free else min(most, 2 ** min(failures - free, 30))


def forget_old(session: Session) -> None:
    """Drop counts that no longer matter."""
    session.execute(delete(ThrottleRow).where(ThrottleRow.last_at < now() - timedelta(seconds=FORGET_SECONDS)))


def _locked(session: Session, subjects: _Subjects, moment: datetime) -> dict[str, ThrottleRow]:
    """The three rows, made where they are missing, locked in one order, forgiven where it is time."""
    wanted = sorted((subjects.pair, subjects.address, subjects.login))
    query = select(ThrottleRow).where(ThrottleRow.subject.in_(wanted)).order_by(ThrottleRow.subject).with_for_update()
    rows = {row.subject: row for row in session.scalars(query)}
    for subject in wanted:
        if subject not in rows:
            rows[subject] = ThrottleRow(subject=subject, failures=0, pending=0, last_at=moment, blocked_until=None)
            session.add(rows[subject])
    session.flush()
    for row in rows.values():
        quiet = (moment - row.last_at).total_seconds()
        if quiet > PENDING_SECONDS:
            row.pending = 0
        if quiet > FORGET_SECONDS:
            row.failures, row.blocked_until = 0, None
    return rows


def _count(row: ThrottleRow, moment: datetime, free: int, most: int) -> None:
    row.failures += 1
    row.last_at = moment
    pause = pause_after(row.failures, free, most)
    row.blocked_until = moment + timedelta(seconds=pause) if pause else None


def _remaining(row: ThrottleRow, moment: datetime) -> float:
    return 0.0 if row.blocked_until is None else (row.blocked_until - moment).total_seconds()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
