"""How soon a change is heard after the upload's answer, how many events a second reach a thousand sockets, and what
an idle socket takes."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.bench.traffic import Client, new_content, percentile, uploads_a_second
from tests.support.many_sockets import ManySockets
from tests.support.system import System, running_system

PASSWORD = "correct horse battery 9"
PATIENCE_SECONDS = 60.0
SOCKETS_OF_ONE_USER = 100


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--uploads", type=int, default=200)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="docsave-bench-") as directory, running_system(Path(directory)) as system:
        tokens = [_token(system, f"bench{number}") for number in range(10)]
        _idle(system, tokens)
        for sockets in (1, 100, 1000):
            _delay(system, tokens, sockets, given.uploads)
        _throughput(system, tokens)


def _token(system: System, login: str) -> str:
    account = {"login": login, "password": PASSWORD}
    requests.post(f"{system.base_url}/users", json=account, timeout=10).raise_for_status()
    return str(requests.post(f"{system.base_url}/login", json=account, timeout=10).json()["access_token"])


@contextmanager
def _listeners(system: System, tokens: list[str], count: int) -> Iterator[_Times]:
    """``count`` sockets, those of the first user among them; each event's moment of arrival is kept."""
    chosen = [tokens[min(number // SOCKETS_OF_ONE_USER, len(tokens) - 1)] for number in range(count)]
    sockets = _Times(urlsplit(system.socket_url).port or 0, chosen)
    try:
        sockets.wait_identified(PATIENCE_SECONDS)
        yield sockets
    finally:
        sockets.close()


class _Times(ManySockets):
    """Keeps when the last socket heard of each change."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        self.moments: dict[int, float] = {}
        self.count = 0
        super().__init__(port, tokens)

    def _take(self, number: int, text: str) -> None:
        super()._take(number, text)
        if text.startswith("42") and "event_id" in self.heard[number][-1]:
            self.moments[self.heard[number][-1]["id"]] = time.monotonic()
            self.count += 1


def _idle(system: System, tokens: list[str]) -> None:
    before = _memory(system)
    with _listeners(system, tokens, 1000):
        print(f"an idle socket: {(_memory(system) - before) / 1000:.0f} KB of the notifier (1,000 sockets)")


def _delay(system: System, tokens: list[str], sockets: int, uploads: int) -> None:
    client = Client(system.base_url, tokens[0])
    with _listeners(system, tokens, sockets) as heard:
        answered: dict[int, float] = {}
        for _ in range(uploads):
            answered[client.save("a.bin", new_content())["id"]] = time.monotonic()
        _wait(lambda: answered.keys() <= heard.moments.keys())
        took = [(heard.moments[file_id] - moment) * 1000 for file_id, moment in answered.items()]
    of_user = min(sockets, SOCKETS_OF_ONE_USER)
    print(
        f"{sockets:4} sockets, {of_user:3} of the user: the last of them hears"
        f" p50 {statistics.median(took):.1f} ms, p99 {percentile(took, 0.99):.1f} ms after the answer"
    )


def _throughput(system: System, tokens: list[str]) -> None:
    """Uploads of one user with 100 sockets, as fast as they go."""
    with _listeners(system, tokens, 1000) as heard:
        rate, took = uploads_a_second(partial(Client, system.base_url, tokens[0]), 16, 10)
        _wait(lambda: heard.count >= len(took) * SOCKETS_OF_ONE_USER)
    print(f"1,000 sockets, 100 of them the user's: {rate:.0f} uploads and {rate * 100:.0f} notifications a second")


def _wait(ready: Any) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not ready() and time.monotonic() < end:
        time.sleep(0.05)
    assert ready()


def _memory(system: System) -> int:
    status = Path(f"/proc/{system.pid_of('notifier')}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


if __name__ == "__main__":
    main()
