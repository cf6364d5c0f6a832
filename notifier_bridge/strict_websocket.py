"""A websocket whose messages are bounded as a whole, and which ends quietly at what it cannot decode."""

from __future__ import annotations

import contextlib
import socket as stdlib_socket
from typing import Any

import engineio.packet
from engineio.async_drivers.eventlet import WebSocketWSGI
from eventlet.websocket import FailedConnectionError, RFC6455WebSocket

from notifier_bridge.limits import MESSAGE_BYTES_MAX

_TOO_BIG = 1009
"""Close status of RFC 6455, section 7.4.1."""


class _BoundedMessage(RFC6455WebSocket.Message):
    """eventlet limits each frame, not the message: endless fragments would fill the memory."""

    size = 0

    def push(self, data: bytes, final: bool = False) -> None:
        self.size += len(data)
        if self.size > MESSAGE_BYTES_MAX:
            raise FailedConnectionError(_TOO_BIG, "message too large")
        super().push(data, final)


class StrictWebSocket:
    """What Engine.IO uses of a websocket."""

    def __init__(self, inner: RFC6455WebSocket) -> None:
        inner.Message = _BoundedMessage
        self._inner = inner
        self.socket = inner.socket

    def wait(self) -> str | bytes | None:
        """The next message that is an Engine.IO packet; None when the connection ends or something else comes."""
        try:
            data: str | bytes | None = self._inner.wait()
            if data is not None:
                engineio.packet.Packet(encoded_packet=data)
        except (ValueError, OSError):
            return None
        return data

    def send(self, data: str | bytes | memoryview) -> None:
        """Send one message, or what ``send_now`` left; ``OSError`` when the connection is gone."""
        if isinstance(data, memoryview):
            self._inner._send(data)
        else:
            self._inner.send(data)

    def frame_of(self, data: str) -> bytes:
        """The message as it goes over the wire, the same for all sockets: what a server sends is not masked."""
        frame: bytes = self._inner._pack_message(data, masked=False)
        return frame

    def send_now(self, frames: bytes) -> memoryview:
        """Give the system as much of ``frames`` as it takes without waiting; what is left must be sent next.

        ``OSError`` when the connection is gone. Not while somebody else sends.
        """
        try:
            sent = self.socket.fd.send(frames) if self._inner._sendlock.counter else 0
        except BlockingIOError:
            sent = 0
        return memoryview(frames)[sent:]

    def close(self) -> None:
        """Close after what was sent."""
        self._inner.close()

    def cut(self) -> None:
        """Wake whoever waits in ``send`` or ``wait``: the connection has ended."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(stdlib_socket.SHUT_RDWR)


class StrictWebSocketWSGI(WebSocketWSGI):
    """Engine.IO's websocket for eventlet: RFC 6455 only, no compression (it costs some 300 KB a socket)."""

    def __init__(self, handler: Any, server: Any) -> None:
        def handle(inner: RFC6455WebSocket) -> Any:
            wire = StrictWebSocket(inner)
            handler.__self__.wire = wire  # the Engine.IO socket, so that a stalled one can be cut
            return handler(wire)

        super().__init__(handle, server)
        self.support_legacy_versions = False

    def _negotiate_permessage_deflate(self, extensions: Any) -> None:
        return None
