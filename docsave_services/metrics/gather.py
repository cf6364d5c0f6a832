"""Asking the other processes of this data directory, all at once, each with the same short time."""

from __future__ import annotations

import contextlib
from pathlib import Path

import eventlet
from eventlet.green import socket

from docsave_services.metrics.endpoint import short_name, sockets_directory
from docsave_services.metrics.exposition import merge, process_name, render

ANSWER_SECONDS = 0.8
ANSWER_BYTES_MAX = 8 * 1024 * 1024
PROCESSES_MAX = 200

_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: docsave\r\n\r\n"
_UP = "# HELP docsave_process_up Whether a process of this machine answered.\n# TYPE docsave_process_up gauge\n"


def gather(data_dir: Path, service: str) -> bytes:
    """The metrics of this process, which is one of ``service``, and of all others of the data directory.

    One that does not answer in time is missing, and its ``docsave_process_up`` is 0.
    """
    own = process_name(service)
    paths = [path for path in _sockets(data_dir) if path.stem != own]
    asked = [(path.stem, eventlet.spawn(_ask, path)) for path in paths]
    answers = {own: render(service)} | {name: thread.wait() for name, thread in asked}
    present = {name: answer for name, answer in answers.items() if answer != b""}
    up = _UP + "".join(
        f'docsave_process_up{{service="{name.rpartition("-")[0]}",process="{name}"}} {0 if answer is None else 1}\n'
        for name, answer in present.items()
    )
    return merge([up.encode(), *(answer for answer in present.values() if answer)])


def _sockets(data_dir: Path) -> list[Path]:
    try:
        return sorted(sockets_directory(data_dir).glob("*.sock"))[:PROCESSES_MAX]
    except OSError:
        return []


def _ask(path: Path) -> bytes | None:
    """What the process says: None when it is there but does not answer, nothing when it has gone."""
    answer = b""
    with eventlet.Timeout(ANSWER_SECONDS, False):
        try:
            answer = _exchange(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(OSError):
                path.unlink()  # it was killed, and left this behind
            return b""
        except OSError:
            return None
    head, _, body = answer.partition(b"\r\n\r\n")
    return body if head.startswith(b"HTTP/1.1 200 ") and body else None


def _exchange(path: Path) -> bytes:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        sock.settimeout(ANSWER_SECONDS)
        with short_name(path) as short:
            sock.connect(short)
        sock.sendall(_REQUEST)
        answer = bytearray()
        while piece := sock.recv(256 * 1024):
            answer += piece
            if len(answer) > ANSWER_BYTES_MAX:
                raise OSError("the answer is too long")
        return bytes(answer)
