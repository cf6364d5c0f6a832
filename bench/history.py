"""The backup's own work, without bus and services: catching up with a journal, verifying, compacting."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import eventlet

from backup.engine import Engine
from backup.home import Home
from bench.rounds import ROUNDS, Row, in_turn, ratio
from tests.support.compacting import Shelf, changed
from tests.support.journal import Journal
from tests.support.programs import ROOT

MB = 1_000_000
SMALL_COPIES = 2000
LARGE_COPIES = 200
VERSIONS = 50


def history(directory: Path) -> list[Row]:
    """Figures without a target."""
    directory.mkdir(parents=True)
    with (directory / "log").open("w") as log, contextlib.redirect_stdout(log):  # a line a copy, as in the service
        small = _copies(directory / "small", SMALL_COPIES, 20_000)[1]
        home, large = _copies(directory / "large", LARGE_COPIES, 5 * MB)
    said = f"{SMALL_COPIES / small:.0f} of 20 KB a second, of 5 MB {LARGE_COPIES * 5 / large:.0f} MB/s"
    return [Row("catching up with a journal", "", said), _verify(home), _compaction(directory / "versions")]


def _copies(directory: Path, count: int, size: int) -> tuple[Home, float]:
    """Copies of so many new files; where, and the seconds it took."""
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
    return home, took


def _verify(home: Home) -> Row:
    """Both from the disk: what the system remembers of the files is dropped before."""
    objects = [path for path in (home.root / "objects").rglob("*") if path.is_file()]
    command = [sys.executable, "-m", "backup.verify_command"]
    verify = [*command, "--backup-dir", str(home.root), "--data-dir", str(home.data_dir)]
    sums = ["sha256sum", *map(str, objects)]

    def seconds(command: list[str]) -> float:
        for path in objects:
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        return time.monotonic() - began

    ours, theirs = in_turn(lambda: seconds(verify), lambda: seconds(sums))
    said = f"{ratio(ours, theirs):.2f} ({min(ours):.2f} : {min(theirs):.2f} s at best of {ROUNDS})"
    return Row("verify of 1 GB, of sha256sum's time", "", said)


def _compaction(directory: Path) -> Row:
    """Versions of one document, 1 % changed each time: what they take up, and how long compacting them takes."""
    shelf, content = Shelf(directory), os.urandom(5 * MB)
    for version in range(1, VERSIONS + 1):
        shelf.save(content, version)
        content = changed(content, version)
    plain, began = shelf.room(), time.monotonic()
    shelf.compact()
    said = f"{plain / MB:.0f} MB become {shelf.room() / MB:.1f} MB in {time.monotonic() - began:.1f} s"
    return Row(f"compacting {VERSIONS} versions of 5 MB, 1 % changed", "", said)
