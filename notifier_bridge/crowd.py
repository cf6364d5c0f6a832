"""How many sockets one address and one user have: a few of each kind, so that nobody can take all there are."""

from __future__ import annotations

from collections import Counter

from docsave_services.errors import TooManySockets
from notifier_bridge.limits import SOCKETS_PER_ADDRESS_MAX, SOCKETS_PER_USER_MAX, STRANGERS_PER_ADDRESS_MAX


class Crowd:
    """Counts the open transports. Each is somebody's from ``opened`` to ``gone``: a stranger's until ``known``."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._users: dict[str, int] = {}
        self._of_address: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()
        self._of_user: Counter[int] = Counter()

    def has_room_for(self, address: str) -> bool:
        """Whether that address may open one more."""
        return (
            self._of_address[address] < SOCKETS_PER_ADDRESS_MAX and self._strangers[address] < STRANGERS_PER_ADDRESS_MAX
        )

    def opened(self, sid: str, address: str) -> None:
        """A transport is open; nobody knows whose."""
        self._addresses[sid] = address
        self._of_address[address] += 1
        self._strangers[address] += 1

    def known(self, sid: str, user_id: int) -> None:
        """It is that user's from now on; ``TooManySockets`` when they have as many as one may have."""
        if self._users.get(sid) == user_id:
            return
        if self._of_user[user_id] >= SOCKETS_PER_USER_MAX:
            raise TooManySockets
        self.unknown(sid)
        if sid in self._addresses:
            self._users[sid] = user_id
            self._of_user[user_id] += 1
            _less(self._strangers, self._addresses[sid])

    def unknown(self, sid: str) -> None:
        """It is nobody's again."""
        user_id = self._users.pop(sid, None)
        if user_id is not None:
            _less(self._of_user, user_id)
            self._strangers[self._addresses[sid]] += 1

    def gone(self, sid: str) -> None:
        """It is closed. Harmless when repeated."""
        self.unknown(sid)
        address = self._addresses.pop(sid, None)
        if address is not None:
            _less(self._of_address, address)
            _less(self._strangers, address)


def _less(counter: Counter[str] | Counter[int], key: str | int) -> None:
    """One less; what nobody has any more is forgotten."""
    counter[key] -= 1  # type: ignore[index]
    if counter[key] <= 0:  # type: ignore[index]
        del counter[key]
