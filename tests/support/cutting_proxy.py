"""A TCP proxy between a client and a server that a test can make break, slow or lie."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import eventlet

PIECE_BYTES = 64 * 1024


class CuttingProxy:
    """Passes bytes on, and counts them: ``sent`` by clients, ``received`` by them.

    ``cuts`` are for the next connections, one each: ``("sent", n)`` or ``("received", n)`` breaks it once so many bytes
    have passed that way; the last of them never get there. ``pause`` seconds lie between two pieces a client sends.
    A ``black_hole`` takes everything and passes nothing on. ``loses_answer_to`` is asked of each piece a client sends:
    when it says yes the server gets the piece, and the connection breaks when its answer comes.
    """

    def __init__(self, target_url: str) -> None:
        parts = urlsplit(target_url)
        self._target = (parts.hostname or "", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts: list[tuple[str, int]] = []
        self.sent = self.received = self.connections = 0
        self.pause = 0.0
        self.refusing = False
        self.black_hole = False
        self.loses_answer_to: Callable[[bytes], bool] | None = None
        self.lost_answers = 0
        self.mangle: Callable[[bytes], bytes] = lambda piece: piece
        self._open: set[socket.socket] = set()
        self._unanswered: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return int(self._listener.getsockname()[1])

    def set(self, pause: float = 0.0, refusing: bool = False, black_hole: bool = False) -> None:
        """What the line is like from now on. What a black hole has swallowed is gone: its connections are cut after."""
        if self.black_hole and not black_hole:
            self.cut()
        self.pause, self.refusing, self.black_hole = pause, refusing, black_hole

    def cut(self) -> None:
        """Break every connection."""
        for each in list(self._open):
            _break(each)

    def close(self) -> None:
        """End it."""
        self.refusing = True
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            self.connections += 1
            cut = self.cuts.pop(0) if self.cuts else ("", 0)
            threading.Thread(target=self._serve, args=(client, cut), daemon=True).start()

    def _serve(self, client: socket.socket, cut: tuple[str, int]) -> None:
        try:
            server = socket.create_connection(self._target, 10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        self._open |= {client, server}
        back = threading.Thread(target=self._pump, args=(server, client, "received", cut), daemon=True)
        back.start()
        self._pump(client, server, "sent", cut)
        back.join()
        self._open -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, target: socket.socket, way: str, cut: tuple[str, int]) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                passed += len(piece)
                setattr(self, way, getattr(self, way) + len(piece))
                if cut[0] == way and passed >= cut[1]:
                    break
                if way == "sent" and self.pause:
                    eventlet.sleep(self.pause)
                if self.black_hole:
                    continue
                if way == "sent" and self.loses_answer_to is not None and self.loses_answer_to(piece):
                    self._unanswered.add(target)
                if way == "received" and source in self._unanswered:
                    self._unanswered.discard(source)
                    self.lost_answers += 1
                    break
                target.sendall(self.mangle(piece) if way == "received" else piece)
            else:
                target.shutdown(socket.SHUT_WR)
                return
        _break(source)
        _break(target)


def _break(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cutting_proxy(target_url: str) -> Iterator[CuttingProxy]:
    """A proxy for the time of the block."""
    proxy = CuttingProxy(target_url)
    try:
        yield proxy
    finally:
        proxy.close()
