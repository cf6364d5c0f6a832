"""What a closed socket leaves: nothing that only the garbage collector could find."""

from __future__ import annotations

import base64
import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import eventlet
import pytest
import socketio
from eventlet import wsgi

from notifier_bridge.socketio_server import SocketProtocol
from notifier_bridge.strict_server import StrictServer
from tests.support.waiting import wait_until

WITHIN_SECONDS = 10.0


@pytest.fixture
def served() -> Iterator[tuple[StrictServer, int]]:
    """A server as in the notifier, and its port; without a collector of garbage."""
    sio = StrictServer(())
    sio.eio.ping_interval = 0.2  # until its next ping is due a closed socket is kept
    sio.eio.start_service_task = False
    listening = eventlet.listen(("127.0.0.1", 0))
    address = listening.getsockname()
    log = logging.getLogger(__name__)
    app = socketio.WSGIApp(sio)
    server = wsgi.Server(listening, address, app, protocol=SocketProtocol, debug=False, log=log, log_output=False)

    def accept() -> None:
        while True:
            connection, peer = listening.accept()
            eventlet.spawn(server.process_request, [peer, connection, wsgi.STATE_IDLE])
            del connection

    accepting = eventlet.spawn(accept)
    gc.collect()
    gc.disable()
    yield sio, address[1]
    gc.enable()
    accepting.kill()
    listening.close()


def test_a_socket_goes_without_the_garbage_collector(served: tuple[StrictServer, int]) -> None:
    """Long-lived circles are looked for seldom: a thousand closed sockets once were 24 MB for half an hour."""
    sio, port = served
    client = eventlet.connect(("127.0.0.1", port))
    client.sendall(_handshake(port))
    _wait(lambda: len(sio.eio.sockets) == 1 and hasattr(_only(sio), "wire"))
    socket = _only(sio)
    kept = {
        "Engine.IO socket": weakref.ref(socket),
        "websocket": weakref.ref(socket.wire._inner),
        "body and buffers": weakref.ref(socket.wire._inner.environ["eventlet.input"]),
    }
    del socket
    client.close()
    _wait(lambda: not [name for name, ref in kept.items() if ref() is not None])


def _only(sio: StrictServer) -> Any:
    return next(iter(sio.eio.sockets.values()))


def _wait(is_so: Any) -> None:
    def look() -> bool:
        eventlet.sleep(0.02)  # the server is in this thread
        return bool(is_so())

    wait_until(look, WITHIN_SECONDS, 0)


def _handshake(port: int) -> bytes:
    lines = (
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join([*lines, "", ""]).encode()
