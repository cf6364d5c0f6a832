"""What is held against a quota while content streams, and when anybody is asked."""

from typing import Any

import pytest

from docsave_services.errors import QuotaExceeded
from gateway_http.limits import REFUSED_SECONDS, REFUSED_USERS_MAX, UNASKED_BYTES_MAX
from gateway_http.quota import Allowance, RefusedUsers


class Files:
    """The files service; counts how often it is asked."""

    def __init__(self, used: int, quota: int | None) -> None:
        self.usage: Any = {"user_id": 1, "files": 1, "used_bytes": used, "quota_bytes": quota}
        self.asked = 0

    def __call__(self) -> Any:
        self.asked += 1
        return self.usage


def fits(allowance: Allowance, size: int) -> bool:
    try:
        allowance.check(size)
    except QuotaExceeded:
        return False
    return True


LARGE = UNASKED_BYTES_MAX + 1


def test_small_uploads_ask_nobody() -> None:
    """Their transaction knows."""
    files = Files(used=100, quota=0)
    allowance = Allowance(1, files, RefusedUsers())
    allowance.expect(UNASKED_BYTES_MAX)
    allowance.check(UNASKED_BYTES_MAX)
    assert files.asked == 0


def test_large_uploads_ask_once() -> None:
    """When they are announced, or when they have become large."""
    files = Files(used=LARGE, quota=3 * LARGE)
    allowance = Allowance(1, files, RefusedUsers())
    allowance.expect(0)
    assert [fits(allowance, size) for size in (1, LARGE, 2 * LARGE, 2 * LARGE + 1)] == [True, True, True, False]
    assert files.asked == 1
    with pytest.raises(QuotaExceeded):
        Allowance(1, files, RefusedUsers()).expect(2 * LARGE + 1)


def test_whoever_was_refused_is_asked_about_first() -> None:
    """For some minutes, whatever the size."""
    clock = [0.0]
    refused, files = RefusedUsers(lambda: clock[0]), Files(used=10, quota=12)
    Allowance(1, files, refused).exceeded()
    allowance = Allowance(1, files, refused)
    allowance.expect(0)
    assert (files.asked, fits(allowance, 2), fits(allowance, 3)) == (1, True, False)
    Allowance(2, files, refused).expect(3)
    assert files.asked == 1
    clock[0] = REFUSED_SECONDS + 1
    Allowance(1, files, refused).expect(3)
    assert files.asked == 1


def test_no_quota_is_no_limit() -> None:
    """Nothing is refused."""
    allowance = Allowance(1, Files(used=10, quota=None), RefusedUsers())
    allowance.expect(2**50)


@pytest.mark.parametrize(
    ("used", "quota", "replaced", "most"),
    [
        (8, 10, 0, 2),
        (8, 10, 5, 7),
        (12, 10, 5, 5),  # over the quota already: no more than before
        (12, 10, 0, 0),
        (8, 10, None, 10),  # nobody knows what goes: at most all of it
        (12, 10, None, 12),
    ],
)
def test_what_goes_makes_room(used: int, quota: int, replaced: int | None, most: int) -> None:
    """The difference counts, as in the transaction."""
    refused = RefusedUsers()
    refused.add(1)
    allowance = Allowance(1, Files(used, quota), refused, replaced)
    allowance.expect(0)
    assert (fits(allowance, most), fits(allowance, most + 1)) == (True, False)


def test_the_memory_of_refusals_is_bounded() -> None:
    """The one refused longest ago goes."""
    refused = RefusedUsers()
    for user_id in range(REFUSED_USERS_MAX + 1):
        refused.add(user_id)
    assert (0 in refused, 1 in refused, REFUSED_USERS_MAX in refused) == (False, True, True)
