"""Files of 500 MB: how fast they come and go, and what memory that takes."""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import wire
from bench.programs import Server
from bench.rounds import Row, at_least, at_most, in_turn, median, ratio
from docsave_services.runtime.ports import LOOPBACK

MB = 1_000_000
SIZE = int(os.environ.get("LARGE_MB", "500")) * MB
_PIECE = os.urandom(MB)


def large_files(ours: Server, theirs: Server, limit: Server, gateway: int) -> list[Row]:
    """``gateway`` is the process whose memory is looked at."""
    saved: dict[str, str] = {}
    grown: list[float] = []

    def up(server: Server) -> float:
        if server is ours:
            Path(f"/proc/{gateway}/clear_refs").write_text("5")  # the peak is counted anew from here on
            idle = _kilobytes(gateway, "VmRSS")
        method, path = ("POST", "/files?name=large.bin") if server.token else ("PUT", "/large.bin")
        began = time.monotonic()
        answer = _send(server, method, path)
        took = time.monotonic() - began
        saved[server.name] = f"/files/{json.loads(answer)['id']}/content" if server.token else path
        if server is ours:
            grown.append((_kilobytes(gateway, "VmHWM") - idle) / 1000)
        return SIZE / MB / took

    def down(server: Server) -> float:
        return SIZE / MB / _fetch(server, saved[server.name])

    servers = (ours, theirs, limit)
    ups = in_turn(*(partial(up, server) for server in servers))
    downs = in_turn(*(partial(down, server) for server in servers))
    name = f"{SIZE // MB} MB"
    said = [" : ".join(map(median, figures)) + " MB/s" for figures in (ups, downs)]
    return [
        at_least(f"{name} upload, of the monolith's MB/s", 1.5, ratio(ups[0], ups[1]), f"with nginx {said[0]}"),
        at_most(
            f"{name} upload, memory of the gateway", 16, statistics.median(grown), "at most more than before", "MB"
        ),
        at_least(f"{name} download, of the monolith's MB/s", 3, ratio(downs[0], downs[1]), f"with nginx {said[1]}"),
    ]


def _pieces() -> Iterator[bytes]:
    """New content each time: a store that has it already would have it easy."""
    unique = f"{time.time_ns()}".encode()
    yield unique + _PIECE[len(unique) :]
    for _ in range(SIZE // MB - 1):
        yield _PIECE


def _send(server: Server, method: str, path: str) -> bytes:
    with socket.create_connection((LOOPBACK, server.port), timeout=600) as sock:
        head = wire.request(method, path, server.token, b"").replace(b"Content-Length: 0", b"Content-Length: %d" % SIZE)
        sock.sendall(head)
        for piece in _pieces():
            sock.sendall(piece)
        return wire.answer_of(sock)


def _fetch(server: Server, path: str) -> float:
    began = time.monotonic()
    buffer = bytearray(MB)
    with socket.create_connection((LOOPBACK, server.port), timeout=600) as sock:
        sock.sendall(wire.request("GET", path, server.token))
        got = 0
        while got < SIZE and (received := sock.recv_into(buffer)):
            got += received
    if got < SIZE:
        raise RuntimeError(f"only {got} bytes came: {bytes(buffer[:300])!r}")
    return time.monotonic() - began


def _kilobytes(pid: int, field: str) -> int:
    match = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1])
