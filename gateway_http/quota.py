"""How much more a user may store, looked at while the content streams: what will not fit is not taken in whole.

The transaction has the last word. Small uploads go there without a question, which spares a call on the hot path.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from docsave_services.contracts import Usage
from docsave_services.errors import QuotaExceeded
from gateway_http.limits import REFUSED_SECONDS, REFUSED_USERS_MAX, UNASKED_BYTES_MAX


class RefusedUsers:
    """Whose content did not fit lately. Each small upload of theirs would leave an orphan in the store: ask first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: OrderedDict[int, float] = OrderedDict()

    def add(self, user_id: int) -> None:
        """Remember the user for ``REFUSED_SECONDS``; past ``REFUSED_USERS_MAX`` the one refused longest ago goes."""
        self._until.pop(user_id, None)
        self._until[user_id] = self._clock() + REFUSED_SECONDS
        if len(self._until) > REFUSED_USERS_MAX:
            self._until.popitem(last=False)

    def __contains__(self, user_id: int) -> bool:
        return self._until.get(user_id, 0.0) > self._clock()


class Allowance:
    """What one upload may still add to its owner's files. The files service is asked at most once, when it matters.

    ``replaced`` is the size of the content that goes when this comes; None when that is not known, and then nobody is
    refused here whom the transaction might let through.
    """

    def __init__(self, user_id: int, ask: Callable[[], Usage], refused: RefusedUsers, replaced: int | None = 0) -> None:
        self._user_id = user_id
        self._ask = ask
        self._refused = refused
        self._replaced = replaced
        self._limit: int | None = None
        self._asked = False

    def expect(self, size: int) -> None:
        """The upload will have at least ``size`` bytes; ``QuotaExceeded`` when that is too much."""
        if self._user_id in self._refused:
            self._find_limit()
        self.check(size)

    def check(self, size: int) -> None:
        """``size`` bytes are there by now; ``QuotaExceeded`` when that is too much."""
        if size > UNASKED_BYTES_MAX:
            self._find_limit()
        if self._limit is not None and size > self._limit:
            self.exceeded()
            raise QuotaExceeded

    def exceeded(self) -> None:
        """It did not fit: ask before the next one."""
        self._refused.add(self._user_id)

    def _find_limit(self) -> None:
        if self._asked:
            return
        self._asked = True
        usage = self._ask()
        if usage["quota_bytes"] is not None:
            replaced = usage["used_bytes"] if self._replaced is None else self._replaced
            # Whoever is over the quota already may still replace content by less.
            self._limit = max(replaced, usage["quota_bytes"] - usage["used_bytes"] + replaced)
