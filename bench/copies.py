"""The backup: how soon a version is safe, and whether it keeps up. Beside it what others need for one changed file."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import requests

from bench import wire
from bench.programs import Server, log_in
from bench.rounds import ROUNDS, SECONDS, Row, at_most, median, p99
from bench.small import upload
from tests.support.programs import Program
from tests.support.system import System
from tests.support.waiting import wait_until

UPLOADS = 100
PAUSE_SECONDS = 0.05
LOOK_SECONDS = 0.0005
PATIENCE_SECONDS = 120.0
AT_ONCE = 16
SETTLED = 50
"""Copies under way at any moment while uploads come, which is no backlog."""

_COPIED = re.compile(r"timestamp='([^']+)'[^\n]* event='version_copied'[^\n]* file_id=(\d+) version=1\b")


def backup(system: System, ours: Server, directory: Path) -> list[Row]:
    """On an idle system, then under uploads as fast as they go."""
    wait_until(lambda: behind(system) == 0, PATIENCE_SECONDS)
    took = [_lag(system, ours) for _ in range(UPLOADS)]
    busy = _lags_under_load(system, ours)
    rivals = "others for one file: " + ", ".join(f"{name} {ms} ms" for name, ms in _rivals(directory).items())
    return [
        at_most("from an upload's answer to its protected copy, median", 10, statistics.median(took), rivals, "ms"),
        at_most("the same, 99 of 100", 50, p99(took), f"{UPLOADS} uploads", "ms"),
        Row(f"the same, {AT_ONCE} uploads at once", "", _figures(busy)),
        _backlog(system, ours),
    ]


def behind(system: System) -> int:
    """Versions that are committed and not yet copied."""
    token = log_in(system, system.admin_login, system.admin_password)
    answer = requests.get(f"{system.base_url}/backup", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    answer.raise_for_status()
    return int(answer.json()["lag_events"] or 0)


def _lag(system: System, ours: Server) -> float:
    file = json.loads(wire.once(ours.port, upload(ours)))
    answered = time.monotonic()
    entry = system.backup_dir / "history" / str(file["user_id"]) / str(file["id"]) / "v000001.json"
    _wait(entry.exists)
    took = (time.monotonic() - answered) * 1000
    time.sleep(PAUSE_SECONDS)
    return took


def _lags_under_load(system: System, ours: Server) -> list[float]:
    """From each answer to its copy, while so many clients send the next upload as soon as they have an answer. When a
    copy was safe the log tells: looking at so many files would take the processors from those who copy."""
    answered: dict[int, float] = {}

    def heard(body: bytes) -> None:
        answered[json.loads(body)["id"]] = time.time()

    wire.load(ours.port, AT_ONCE, SECONDS, partial(upload, ours), heard)
    wait_until(lambda: behind(system) == 0, PATIENCE_SECONDS)
    copied = {int(file_id): datetime.fromisoformat(at).timestamp() for at, file_id in _COPIED.findall(system.output())}
    return [max((copied[file_id] - moment) * 1000, 0.0) for file_id, moment in answered.items()]


def _figures(lags: list[float]) -> str:
    return f"median {median(lags)} ms, 99 of 100 {median([p99(lags)])} ms ({len(lags)} uploads flat out)"


def _backlog(system: System, ours: Server) -> Row:
    """How many versions are not yet copied, after each part of a run of uploads."""
    waiting = []
    for _ in range(max(ROUNDS, 3)):
        wire.load(ours.port, 32, SECONDS, partial(upload, ours))
        waiting.append(behind(system))
    grows = waiting[-1] > waiting[0] + SETTLED
    wait_until(lambda: behind(system) == 0, PATIENCE_SECONDS)
    said = ", ".join(map(str, waiting))
    return Row("backlog while 32 upload flat out", "does not grow", f"{said} versions, every {SECONDS:g} s", not grows)


def _rivals(directory: Path) -> dict[str, str]:
    """Milliseconds for one new file of 20 KB, the median of some."""
    return {
        "inotifywait + cp": median([_copied_by_watcher(directory / "watched") for _ in range(ROUNDS)]),
        "restic": median(list(_by_command(directory / "restic", _restic))),
        "borg": median(list(_by_command(directory / "borg", _borg))),
    }


def _copied_by_watcher(directory: Path) -> float:
    """From the end of the write to the copy; nothing is checked or synced."""
    source, target = directory / "from", directory / "to"
    for each in (source, target):
        each.mkdir(parents=True, exist_ok=True)
    loop = f'inotifywait -mq -e close_write --format %w%f "{source}" | while read -r f; do cp "$f" "{target}/"; done'
    watcher = Program(["sh", "-c", loop], directory / "log")
    name = f"f{time.time_ns()}"
    try:
        # inotifywait says nothing when it is ready: write again until it saw one, then measure the next.
        wait_until(partial(_seen, source / f"{name}-first", target / f"{name}-first"), PATIENCE_SECONDS)
        (source / name).write_bytes(wire.new_content())
        began = time.monotonic()
        _wait((target / name).exists)
        return (time.monotonic() - began) * 1000
    finally:
        watcher.stop()


def _seen(source: Path, target: Path) -> bool:
    source.write_bytes(b"-")
    return target.exists()


def _by_command(directory: Path, commands: Callable[[Path], tuple[list[str], list[str]]]) -> Iterator[float]:
    (directory / "source").mkdir(parents=True)
    prepare, save = commands(directory)
    env = {**os.environ, "RESTIC_PASSWORD": "bench", "BORG_BASE_DIR": str(directory / "base")}
    if not shutil.which(prepare[0]):
        yield float("nan")
        return
    subprocess.run(prepare, env=env, check=True, capture_output=True)
    for number in range(ROUNDS):
        (directory / "source" / str(number)).write_bytes(wire.new_content())
        began = time.monotonic()
        subprocess.run([part.format(number=number) for part in save], env=env, check=True, capture_output=True)
        yield (time.monotonic() - began) * 1000


def _restic(directory: Path) -> tuple[list[str], list[str]]:
    repository = ["--repo", str(directory / "repo"), "--quiet", "--no-cache"]
    return ["restic", *repository, "init"], ["restic", *repository, "backup", str(directory / "source")]


def _borg(directory: Path) -> tuple[list[str], list[str]]:
    repository = str(directory / "repo")
    init = ["borg", "init", "--encryption=none", repository]
    return init, ["borg", "create", repository + "::{number}", str(directory / "source")]


def _wait(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(LOOK_SECONDS)
