"""Limits of the bridge: sockets of one address and one user, messages of one socket."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docsave_services.errors import TooManySockets
from notifier_bridge import limits
from notifier_bridge.crowd import Crowd
from notifier_bridge.pace import Pace


def test_an_address_with_too_many_strangers_has_no_room_until_they_leave_or_say_who_they_are():
    """Others are not concerned."""
    crowd = Crowd()
    for n in range(limits.STRANGERS_PER_ADDRESS_MAX):
        assert crowd.has_room_for("a")
        crowd.opened(f"s{n}", "a")
    assert not crowd.has_room_for("a")
    assert crowd.has_room_for("b")
    crowd.known("s0", 1)
    assert crowd.has_room_for("a")
    crowd.unknown("s0")
    assert not crowd.has_room_for("a")
    crowd.gone("s1")
    assert crowd.has_room_for("a")


def test_a_user_has_a_limit_of_their_own_and_keeps_what_they_have():
    """One more is refused; to identify again on an open socket is not."""
    crowd = Crowd()
    for n in range(limits.SOCKETS_PER_USER_MAX + 1):
        crowd.opened(f"s{n}", "a")
    for n in range(limits.SOCKETS_PER_USER_MAX):
        crowd.known(f"s{n}", 1)
    with pytest.raises(TooManySockets):
        crowd.known(f"s{limits.SOCKETS_PER_USER_MAX}", 1)
    crowd.known("s0", 1)
    crowd.known(f"s{limits.SOCKETS_PER_USER_MAX}", 2)
    crowd.known("s0", 2)
    crowd.opened("new", "a")
    crowd.known("new", 1)


_STEPS = st.tuples(st.sampled_from(["opened", "known", "unknown", "gone"]), st.integers(0, 5), st.integers(1, 3))


@settings(max_examples=200, deadline=None)
@given(st.lists(_STEPS, max_size=60))
def test_when_all_are_gone_nothing_is_counted(steps):
    """Whatever happened, in whatever order, leaves no count behind."""
    crowd, opened = Crowd(), set()
    for act, socket, user in steps:
        sid = f"s{socket}"
        if act == "opened" and sid not in opened:
            opened.add(sid)
            crowd.opened(sid, f"address{socket % 2}")
        elif act == "known":
            crowd.known(sid, user)
        elif act == "unknown":
            crowd.unknown(sid)
        elif act == "gone":
            opened.discard(sid)
            crowd.gone(sid)
        counted = sum(crowd._strangers.values()) + sum(crowd._of_user.values())
        assert counted == sum(crowd._of_address.values()) == len(opened)
    for socket in range(6):
        crowd.gone(f"s{socket}")
    assert (crowd._of_address, crowd._strangers, crowd._of_user) == ({}, {}, {})


def test_some_messages_at_once_then_so_many_a_second():
    """The bucket fills again with time, and never above its size."""
    now = [0.0]
    pace = Pace(lambda: now[0])

    def taken(count: int) -> int:
        over = 0
        for _ in range(count):
            pace.take()
            over += pace.over
        return count - over

    assert taken(limits.MESSAGES_AT_ONCE_MAX + 10) == limits.MESSAGES_AT_ONCE_MAX
    now[0] += 1
    assert taken(limits.MESSAGES_PER_SECOND + 10) == limits.MESSAGES_PER_SECOND
    now[0] += 3600
    assert taken(2 * limits.MESSAGES_AT_ONCE_MAX) == limits.MESSAGES_AT_ONCE_MAX
    assert not pace.hopeless
    taken(limits.MESSAGES_EXCESS_MAX + 1)
    assert pace.hopeless
