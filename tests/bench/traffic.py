"""Clients that cost little themselves: the measured system runs on the same processors."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SMALL_BYTES = 20_000
READ_BYTES = 1024 * 1024


class Client:
    """One connection of one user, kept open."""

    def __init__(self, base_url: str, token: str) -> None:
        self._host = urlsplit(base_url).netloc
        self._token = token
        self._connection = http.client.HTTPConnection(self._host, timeout=600)

    def json(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The answer's JSON; an error ends the measurement."""
        status, answer = self._exchange(method, path, body, headers)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return dict(json.loads(answer)) if answer else {}

    def save(self, name: str, content: bytes) -> dict[str, Any]:
        """Upload bytes."""
        return self.json("POST", f"/files?name={name}", content)

    def save_path(self, name: str, path: Path) -> dict[str, Any]:
        """Upload a file from disk."""
        with path.open("rb") as file:
            length = {"Content-Length": str(path.stat().st_size)}
            return self.json("POST", f"/files?name={name}", file, **length)

    def fetch_to(self, file_id: int, path: Path) -> None:
        """Download to a file."""
        self._connection.request("GET", f"/files/{file_id}/content", headers=self._headers({}))
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"download: {answer.status}")
        with path.open("wb") as file:
            while piece := answer.read(READ_BYTES):
                file.write(piece)

    def _exchange(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
        self._connection.request(method, path, body, self._headers(headers))
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Content-Type": "application/octet-stream", **headers}


_numbers = itertools.count()


def new_content(size: int = SMALL_BYTES) -> bytes:
    """Bytes that no blob has yet."""
    return f"{next(_numbers)}-{os.getpid()}-".encode() + os.urandom(size)


def uploads_a_second(make_client: Callable[[], Client], at_once: int, seconds: float) -> tuple[float, list[float]]:
    """How many small files arrive a second with so many clients at once, and each one's milliseconds."""
    took: list[float] = []
    end = time.monotonic() + seconds

    def upload_until_the_end() -> None:
        client = make_client()
        while (started := time.monotonic()) < end:
            client.save("a.bin", new_content())
            took.append((time.monotonic() - started) * 1000)

    threads = [threading.Thread(target=upload_until_the_end) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(took) / seconds, sorted(took)


def latencies(client: Client, path: str, seconds: float) -> list[float]:
    """Milliseconds of one metadata request after the other, with a breath between them."""
    took = []
    end = time.monotonic() + seconds
    while (started := time.monotonic()) < end:
        client.json("GET", path)
        took.append((time.monotonic() - started) * 1000)
        time.sleep(0.01)
    return took


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def spread(values: list[float]) -> str:
    """Median and 99th percentile."""
    return f"p50 {statistics.median(values):.1f} ms, p99 {percentile(values, 0.99):.1f} ms"


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """``work`` in another thread, joined at the end."""
    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    thread.join()
