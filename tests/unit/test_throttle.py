"""The pure rules of the throttle."""

from hypothesis import given
from hypothesis import strategies as st

from docsave_services.users.throttle import network_of, pause_after


@given(failures=st.integers(0, 10_000), free=st.integers(1, 100), most=st.integers(1, 10_000))
def test_pauses_grow_up_to_a_cap(failures: int, free: int, most: int) -> None:
    """None while failures are free, then never shorter than the one before, never longer than the cap."""
    pause, following = pause_after(failures, free, most), pause_after(failures + 1, free, most)
    assert 0 <= pause <= following <= most
    assert (pause == 0) == (failures < free)


@given(address=st.text())
def test_anything_may_stand_where_an_address_should(address: str) -> None:
    """What is no address counts as itself."""
    assert isinstance(network_of(address), str)


def test_what_counts_as_one_address() -> None:
    """An IPv4 address, also when it is written as IPv6; a /64 of IPv6."""
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") != network_of("192.0.2.2")
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff%eth0") != network_of("2001:db8:0:1::1")
    assert network_of(None) == network_of("")
