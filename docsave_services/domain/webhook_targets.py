"""Where webhooks may go: addresses as people write them, and the network addresses behind them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

URL_CHARACTERS_MAX = 2048

_ALLOWED = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+", re.ASCII)
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+", re.ASCII)
_NUMERIC = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)", re.ASCII)
_PORTS = {"http": 80, "https": 443}

_REFUSED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' NAT; also a cloud's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's metadata, on an address that looks public
            "169.254.0.0/16",  # link-local; the metadata of most clouds
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_REFUSED_6 = tuple(
    map(
        IPv6Network,
        (
            "::/96",  # unspecified, loopback, and the old way to write an IPv4 address
            "64:ff9b:1::/48",  # a network's own NAT64
            "100::/64",
            "2001::/23",  # Teredo and other tunnels
            "2001:db8::/32",
            "2002::/16",  # 6to4: an IPv4 address inside
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
        ),
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOBODY = ("0.0.0.0/32", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8")
_NOBODY_4 = tuple(IPv4Network(n) for n in _NOBODY if ":" not in n)
_NOBODY_6 = tuple(IPv6Network(n) for n in _NOBODY if ":" in n)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. ``host`` is a name or an address without brackets; ``path`` goes on to the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the ``Host`` field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def target_of(url: str) -> Target:
    """``url`` taken apart; ``ValueError`` with the reason, the end of a sentence that starts with the field."""
    if not 1 <= len(url) <= URL_CHARACTERS_MAX:
        raise ValueError(f"must have 1 to {URL_CHARACTERS_MAX} characters")
    if not _ALLOWED.fullmatch(url):
        raise ValueError("must be a URL in ASCII; encode other characters with % and names with Punycode")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise ValueError("must be a URL such as https://crm.example.com/docsave") from exc
    if parts.scheme not in _PORTS or not host:
        raise ValueError("must begin with https:// or http:// and a host")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password")
    if "#" in url:
        raise ValueError("must not have a fragment")
    if port == 0 or not _is_host(host):
        raise ValueError("must name a host, by its name or address, and a port that exists")
    path = parts.path or "/"
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], f"{path}?{parts.query}" if parts.query else path)


def url_problem(url: str, allow_private: bool) -> str | None:
    """Why nothing can be delivered there, as far as that can be told without asking for the name's addresses."""
    try:
        target = target_of(url)
    except ValueError as exc:
        return str(exc)
    if _is_address(target.host) and not address_is_allowed(target.host, allow_private):
        return "must not lead to a private or local address"
    return None


def address_is_allowed(address: str, allow_private: bool) -> bool:
    """Whether a connection may be made to this IP address, whatever name led to it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        inside = _ipv4_inside(ip)
        if inside is None:
            return not any(ip in network for network in (_NOBODY_6 if allow_private else _REFUSED_6))
        ip = inside
    return not any(ip in network for network in (_NOBODY_4 if allow_private else _REFUSED_4))


def _ipv4_inside(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a packet to ``ip`` ends at."""
    return IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in _MAPPED or ip in _NAT64 else None


def _is_host(host: str) -> bool:
    if _is_address(host):
        return True
    last = host.rstrip(".").rpartition(".")[2]
    # "127.1", "0x7f000001" and the like are addresses in disguise.
    return bool(_NAME.fullmatch(host)) and ".." not in host and not _NUMERIC.fullmatch(last)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
