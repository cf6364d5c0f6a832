"""Whose address a request has when proxies stand in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsave_services.domain.client_address import client_address

TRUSTED = ("10.0.0.0/8", "2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),  # whoever calls us directly may write what they like
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # 1.2.3.4 was sent by the client
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),  # two proxies of ours
        ("10.0.0.1", "10.9.9.9,10.0.0.2", "10.9.9.9"),  # a client inside
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:DB9::7", "2001:db9::7"),
    ],
)
def test_the_nearest_address_that_is_not_a_trusted_proxys(peer: str, forwarded: str, expected: str) -> None:
    """Addresses are followed backwards, as far as each was written by somebody trusted."""
    assert client_address(peer, forwarded, TRUSTED) == expected


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    """The default trusts nobody."""
    assert client_address("127.0.0.1", "203.0.113.9", ()) == "127.0.0.1"


@given(st.text(max_size=200))
def test_no_header_breaks_it_or_impersonates_the_untrusted(header: str) -> None:
    """Whatever the header says, a caller who is no proxy keeps its address, and a proxy's call gets some address."""
    assert client_address("198.51.100.7", header, TRUSTED) == "198.51.100.7"
    assert 0 < len(client_address("10.0.0.1", header, TRUSTED)) <= 64
