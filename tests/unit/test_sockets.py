"""Whoever is connected is sent each message at once, not when the one before it was confirmed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import eventlet
import pytest

from gateway_http.server import GatewayServer
from notifier_bridge.socketio_server import SocketIOServer


class Container:
    """Takes over what a server would serve, and keeps its sockets."""

    def __init__(self) -> None:
        self.accepted: list[Any] = []

    def spawn_managed_thread(self, serve: Callable[[], None], identifier: str = "") -> Any:
        self.accepted.append(serve.args[0])  # type: ignore[attr-defined] # a partial of the socket and its address
        return eventlet.spawn(lambda: None)


def listening(kind: type[Any]) -> Any:
    server = kind()
    server.container = Container()
    server._is_accepting = True
    server._sock = eventlet.listen(("127.0.0.1", 0))
    return server


@pytest.mark.parametrize("kind", [GatewayServer, SocketIOServer])
def test_a_connection_sends_at_once(kind: type[Any]) -> None:
    """Seen at the socket that the server took; the system's default is to wait."""
    server = listening(kind)
    accepting = eventlet.spawn(server.run)
    try:
        with socket.create_connection(server._sock.getsockname()), eventlet.Timeout(10):
            while not server.container.accepted:
                eventlet.sleep(0.01)
        (sock,) = server.container.accepted
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.close()
    finally:
        accepting.kill()
        server._sock.close()
