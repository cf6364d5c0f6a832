"""How soon a version is safe in the backup, how many copies a second it makes, and how fast it verifies."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import eventlet
import requests

from backup.engine import Engine
from backup.home import Home
from tests.bench.traffic import Client, new_content, percentile
from tests.support.compacting import Shelf, changed
from tests.support.journal import Journal
from tests.support.many_sockets import ManySockets
from tests.support.programs import ROOT
from tests.support.system import System, running_system

MB = 1_000_000
PASSWORD = "correct horse battery 9"
PATIENCE_SECONDS = 120.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--uploads", type=int, default=200)
    arguments.add_argument("--copies", type=int, default=2000)
    arguments.add_argument("--megabytes", type=int, default=1000)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="docsave-bench-") as directory:
        with running_system(Path(directory, "system")) as system:
            token = _token(system)
            for at_once in (1, 16):
                _lag(system, token, at_once, given.uploads)
        _copies(Path(directory, "small"), given.copies, 20_000)
        home = _copies(Path(directory, "large"), given.megabytes // 5, 5 * MB)
        _verify(home, given.megabytes // 5 * 5)
        _compaction(Path(directory, "versions"))


def _token(system: System) -> str:
    account = {"login": "bench", "password": PASSWORD}
    requests.post(f"{system.base_url}/users", json=account, timeout=10).raise_for_status()
    return str(requests.post(f"{system.base_url}/login", json=account, timeout=10).json()["access_token"])


class _Protected(ManySockets):
    """Keeps when a socket heard that a file is safe."""

    def __init__(self, port: int, token: str) -> None:
        self.moments: dict[int, float] = {}
        super().__init__(port, [token])

    def _take(self, number: int, text: str) -> None:
        super()._take(number, text)
        if text.startswith('42["Notify_File_protected"'):
            self.moments.setdefault(json.loads(text[2:])[1]["id"], time.monotonic())


def _lag(system: System, token: str, at_once: int, uploads: int) -> None:
    """From the upload's answer to the notification that its copy is safe."""
    answered: dict[int, float] = {}
    heard = _Protected(urlsplit(system.socket_url).port or 0, token)

    def upload() -> None:
        client = Client(system.base_url, token)
        for _ in range(uploads // at_once):
            answered[client.save("a.bin", new_content())["id"]] = time.monotonic()
            if at_once == 1:
                time.sleep(0.05)  # an idle system, not a queue

    try:
        heard.wait_identified(PATIENCE_SECONDS)
        threads = [threading.Thread(target=upload) for _ in range(at_once)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        _wait(lambda: answered.keys() <= heard.moments.keys())
        lags = [(heard.moments[file_id] - moment) * 1000 for file_id, moment in answered.items()]
    finally:
        heard.close()
    print(
        f"{at_once:2} uploads at once ({len(lags) / took:.0f} a second): safe p50 {statistics.median(lags):.0f} ms, "
        f"p99 {percentile(lags, 0.99):.0f} ms after the answer"
    )


def _copies(directory: Path, count: int, size: int) -> Home:
    """Catching up with a journal, without bus and services."""
    journal = Journal(directory / "data")
    for number in range(count):
        journal.add(os.urandom(size), file_id=number + 1)

    def files(method: str, **arguments: Any) -> Any:
        if method == "head":
            return {"cursor": f"{journal.epoch}:{count}"}
        if method == "changes":
            place = int(arguments["since"].rpartition(":")[2])
            items = journal.events[place : place + arguments["limit"]]
            return {"items": items, "cursor": items[-1]["cursor"] if items else arguments["since"], "more": False}
        return {"updated": 0}

    home = Home(directory / "backups", directory / "data")
    engine = Engine(home, journal.blobs, files)
    began = time.monotonic()
    thread = eventlet.spawn(engine.run)
    place = home.root / "state" / "cursor.json"
    while not (place.exists() and f'"copied": {count},' in place.read_text()):
        eventlet.sleep(0.01)
    took = time.monotonic() - began
    engine.stop()
    thread.wait()
    print(f"{count} copies of {size // 1000} KB: {count / took:.0f} a second, {count * size / MB / took:.0f} MB/s")
    return home


def _verify(home: Home, megabytes: int) -> None:
    """Both from the disk: what the system remembers of the files is dropped before."""
    objects = [path for path in (home.root / "objects").rglob("*") if path.is_file()]
    verify = [sys.executable, "-m", "backup.verify_command", "--backup-dir", home.root, "--data-dir", home.data_dir]
    for name, command in (("verify", verify), ("sha256sum", ["sha256sum", *objects])) * 2:
        for path in objects:
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        took = time.monotonic() - began
        print(f"{name} of {megabytes} MB: {took:.2f} s, {megabytes / took:.0f} MB/s")


def _compaction(directory: Path) -> None:
    """50 versions of a document, 1 % changed each time: what they take up, and how long compacting them takes."""
    shelf, content = Shelf(directory), os.urandom(5 * MB)
    for version in range(1, 51):
        shelf.save(content, version)
        content = changed(content, version)
    plain, began = shelf.room(), time.monotonic()
    shelf.compact()
    took = time.monotonic() - began
    print(
        f"50 versions of 5 MB, 1 % changed: {plain / MB:.0f} MB, compacted {shelf.room() / MB:.1f} MB in {took:.1f} s"
    )


def _wait(ready: Any) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not ready() and time.monotonic() < end:
        time.sleep(0.05)
    assert ready()


if __name__ == "__main__":
    main()
