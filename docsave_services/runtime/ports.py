"""Free ports, and whether one is taken."""

from __future__ import annotations

import errno
import socket

LOOPBACK = "127.0.0.1"


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens on ``port`` already.

    Without SO_REUSEPORT on our side the kernel refuses, also when the other one set it. Two servers that both set it
    would share the port and each get some of the requests.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """``count`` different ports that nobody listens on at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probes = [socket.socket(family, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((host, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
