"""How fast files are saved and fetched, what memory that takes, and what others feel of it."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import requests

from tests.bench.traffic import Client, latencies, meanwhile, percentile, spread, uploads_a_second
from tests.support.system import System, running_system

MB = 1_000_000
PASSWORD = "correct horse battery 9"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=8, help="of each measurement of uploads a second")
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="docsave-bench-") as directory, running_system(Path(directory)) as system:
        make_client = partial(Client, system.base_url, _token(system))
        _uploads(make_client, given.seconds, given.rounds)
        _large(system, make_client, Path(directory), 500 * MB)
        _memory(system, make_client, Path(directory), 2000 * MB)
        _neighbours(make_client, Path(directory), 1000 * MB, given.rounds)


def _token(system: System) -> str:
    account = {"login": "bench", "password": PASSWORD}
    requests.post(f"{system.base_url}/users", json=account, timeout=10).raise_for_status()
    return str(requests.post(f"{system.base_url}/login", json=account, timeout=10).json()["access_token"])


def _uploads(make_client: partial[Client], seconds: float, rounds: int) -> None:
    for at_once in (1, 8, 32):
        results = [uploads_a_second(make_client, at_once, seconds) for _ in range(rounds)]
        rates = " ".join(f"{rate:.0f}" for rate, _ in results)
        print(f"uploads of 20 KB, {at_once:2} at once: {rates} a second; {spread(results[-1][1])}")


def _large(system: System, make_client: partial[Client], directory: Path, size: int) -> None:
    source, copy = _content(directory / "large", size), directory / "copy"
    plain = _timed(lambda: [_run("cp", source, copy), _run("sync", copy), _run("sha256sum", copy)])
    client = make_client()
    saved: dict[str, int] = {}
    up = _timed(lambda: saved.update(client.save_path("large.bin", source)))
    down = _timed(lambda: client.fetch_to(saved["id"], copy))
    assert _sha256(copy) == _sha256(source)
    for name, seconds in (("cp, sync, sha256sum", plain), ("upload", up), ("download", down)):
        print(f"{size // MB} MB, {name}: {size / MB / seconds:.0f} MB/s ({seconds / plain:.2f} of the first)")
    source.unlink()
    copy.unlink()


def _memory(system: System, make_client: partial[Client], directory: Path, size: int) -> None:
    gateway = Path(f"/proc/{system.pid_of('gateway')}")
    source, copy = _content(directory / "huge", size), directory / "copy"
    (gateway / "clear_refs").write_text("5")  # the peak is counted anew from here on
    idle = _kilobytes(gateway, "VmRSS")
    saved = make_client().save_path("huge.bin", source)
    up = _kilobytes(gateway, "VmHWM")
    make_client().fetch_to(saved["id"], copy)
    down = _kilobytes(gateway, "VmHWM")
    print(f"gateway, {size // MB} MB: {idle / 1000:.0f} MB idle; while it came, {(up - idle) / 1000:+.1f} MB at most")
    print(f"gateway, {size // MB} MB: with the way back, {(down - idle) / 1000:+.1f} MB at most")
    source.unlink()
    copy.unlink()


def _neighbours(make_client: partial[Client], directory: Path, size: int, rounds: int) -> None:
    """Another user's metadata requests, in turns without and with a large upload beside them."""
    source = _content(directory / "neighbour", size)
    client, path = make_client(), f"/files/{make_client().save('small.txt', b'small')['id']}"
    alone: list[float] = []
    beside: list[float] = []
    for n in range(rounds):
        alone += latencies(client, path, 3)
        _append(source, n)  # or the store has it already
        with meanwhile(partial(make_client().save_path, "neighbour.bin", source)) as upload:
            while upload.is_alive():
                beside += latencies(client, path, 0.2)
    ratios = [
        statistics.median(beside) / statistics.median(alone),
        percentile(beside, 0.99) / percentile(alone, 0.99),
    ]
    print(f"metadata alone: {spread(alone)}; while {size // MB} MB arrive: {spread(beside)}")
    print(f"metadata beside an upload: {ratios[0]:.2f} times the median, {ratios[1]:.2f} times the p99")
    source.unlink()


def _content(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        for _ in range(size // MB):
            file.write(os.urandom(MB))
    return path


def _append(path: Path, number: int) -> None:
    with path.open("ab") as file:
        file.write(str(number).encode())


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kilobytes(process: Path, field: str) -> int:
    match = re.search(rf"{field}:\s+(\d+) kB", (process / "status").read_text())
    assert match is not None
    return int(match[1])


if __name__ == "__main__":
    assert shutil.which("sha256sum")
    main()
