"""Where a request comes from when proxies stand in between."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

HOPS_MAX = 20
"""Addresses of ``X-Forwarded-For`` that are looked at, from its end."""


def client_address(peer: str, forwarded_for: str, trusted: tuple[str, ...]) -> str:
    """The nearest address that is not a trusted proxy's.

    Each proxy adds the address it was called from at the end of ``X-Forwarded-For``; what stands before the entry of
    the last trusted one was written by whoever called it and may be a lie. A ``peer`` that is not trusted is the
    client, whatever it sends. An entry that is no address ends the search: the proxy that passed it on is answered.
    """
    found = _parsed(peer)
    if found is None:
        return peer[:64]
    for entry in reversed(forwarded_for.split(",")[-HOPS_MAX:]):
        if not any(found in network for network in _networks(trusted)):
            break
        earlier = _parsed(entry.strip())
        if earlier is None:
            break
        found = earlier
    return str(found)


@lru_cache(maxsize=16)
def _networks(trusted: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network) for network in trusted)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
