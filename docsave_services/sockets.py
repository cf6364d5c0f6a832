"""What every socket that serves clients is told."""

from __future__ import annotations

import socket
from typing import Any


def send_at_once(sock: Any) -> None:
    """Send what is written when it is written (``TCP_NODELAY``).

    Otherwise a small message waits until the client has confirmed the one before it, which its system puts off for
    40 ms: the second of two events, or what follows the head of an answer (RFC 896, RFC 1122 section 4.2.3.2).
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
