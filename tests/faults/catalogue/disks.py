"""Disks that are full, slow, failing, read-only or gone. What fails inside a system call is injected with strace."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import eventlet
import requests

from tests.faults.attack import RECOVERY_SECONDS, Attack
from tests.faults.catalogue.fault import PORTION, Fault, Place, Struck
from tests.faults.catalogue.stages import run
from tests.support.strace import Strace
from tests.support.waiting import wait_until

OTHERS_SECONDS = 1.0
"""So much longer than before it takes at most to read while somebody's fsync takes its time."""

LOOKS = 20


class Full(Fault):
    """The 64 MiB disk below the blobs or below the backup is full to the last byte."""

    stage = "small disks"
    hold_seconds = 10.0

    def __init__(self, what: str) -> None:
        super().__init__(f"disk-full-{what}")
        self._what = what

    def inject(self, place: Place) -> None:
        place.target.excuse_uploads_in_progress()
        fill(self._filler(place))

    def heal(self, place: Place) -> None:
        self._filler(place).unlink(missing_ok=True)

    def _filler(self, place: Place) -> Path:
        assert place.backup_disk is not None
        where = place.backup_disk if self._what == "backup" else place.target.system.data_dir / "blobs"
        return where / "filler"


class AllFull(Fault):
    """The one disk that everything but the backup lies on is full: blobs, broker, SQLite where it is used."""

    stage = "one disk"
    hold_seconds = 20.0

    def __init__(self) -> None:
        super().__init__("disk-full-data")

    def inject(self, place: Place) -> None:
        place.target.excuse_uploads_in_progress()
        fill(place.target.system.data_dir / "filler")

    def heal(self, place: Place) -> None:
        (place.target.system.data_dir / "filler").unlink(missing_ok=True)


def fill(filler: Path) -> None:
    """Take all that is left of a disk."""
    for size in (2**20, 512):
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(size))


class Gone(Fault):
    """The backup's disk is not mounted: its directory is there and empty, and nothing may be written into it."""

    stage = "small disks"
    hold_seconds = 10.0

    def __init__(self) -> None:
        super().__init__("backup-unmounted")

    def inject(self, place: Place) -> None:
        run("umount", "-l", str(place.target.system.backup_dir))

    def look(self, place: Place, attack: Attack) -> list[str]:
        eventlet.sleep(self.hold_seconds)  # it has time to make the mistake
        left = [str(path) for path in place.target.system.backup_dir.rglob("*") if path.is_file()]
        return [f"written into the directory of an unmounted disk: {left}"] if left else []

    def heal(self, place: Place) -> None:
        run("mount", "--bind", str(place.backup_disk), str(place.target.system.backup_dir))


class ReadOnly(Fault):
    """The backup's disk is mounted read-only while the service is away for a moment, and stays so for a while."""

    stage = "small disks"
    hold_seconds = 10.0

    def __init__(self) -> None:
        super().__init__("backup-read-only")

    def inject(self, place: Place) -> None:
        place.target.kill("backup")
        wait_until(lambda: self._remount(place, "ro"), RECOVERY_SECONDS, 0.01)

    def heal(self, place: Place) -> None:
        self._remount(place, "rw")

    def _remount(self, place: Place, how: str) -> bool:
        command = ["mount", "-o", f"remount,{how}", str(place.backup_disk)]
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0


class Failing(Fault):
    """Some fsyncs, writes or reads of one service fail with EIO; ``when`` is strace's, counted for each thread."""

    hold_seconds = 12.0

    def __init__(self, service: str, calls: str, when: str, what: str) -> None:
        super().__init__(f"eio-{service}-{what}")
        self._service = service
        self._inject = f"{calls}:error=EIO:when={when}"
        self._strace: Strace | None = None

    def inject(self, place: Place) -> None:
        place.target.excuse_uploads_in_progress()
        self._strace = Strace(place.target.system.pid_of(self._service), self._inject)

    def heal(self, place: Place) -> None:
        if self._strace is not None:
            self._strace.stop()


class Slow(Failing):
    """Each fsync of one service takes long: those who only read must not notice."""

    hold_seconds = 15.0

    def __init__(self, service: str, seconds: float) -> None:
        super().__init__(service, "", "1+1", "")
        self.name = f"slow-fsync-{service}-{seconds}s"
        self._inject = f"fsync,fdatasync:delay_enter={seconds * 1e6:.0f}"
        self._usual = 0.0

    def strike(self, place: Place, attack: Attack) -> Struck:
        usual: list[float] = []
        attack.strike(lambda: usual.extend(_read_often(attack)), PORTION)  # a busy machine is slow without any fault
        self._usual = _late(usual)
        return super().strike(place, attack)

    def look(self, place: Place, attack: Attack) -> list[str]:
        took = list(_read_often(attack))
        if _late(took) > self._usual + OTHERS_SECONDS:
            figures = f"{statistics.median(took):.2f} s, of ten one {_late(took):.2f} s, before {self._usual:.2f} s"
            return [f"beside a slow fsync a read takes {figures}"]
        return []


def _late(took: list[float]) -> float:
    """What of ten one takes."""
    return sorted(took)[int(len(took) * 0.9)]


def _read_often(attack: Attack) -> Iterator[float]:
    person = attack.people[0]
    with requests.Session() as session:
        for _ in range(LOOKS):
            begun = time.monotonic()
            session.get(f"{person.base_url}/files", params={"limit": 1}, headers=person.headers, timeout=20)
            yield time.monotonic() - begun
            eventlet.sleep(0.3)


FAULTS: list[Fault] = [
    Full("blobs"),
    Full("backup"),
    AllFull(),
    Gone(),
    ReadOnly(),
    *(
        Failing(service, calls, when, what)
        for service in ("gateway", "files", "backup")
        for what, calls, when in (
            ("fsync", "fsync,fdatasync", "2+3"),
            ("write", "write,pwrite64", "3+7"),
            ("read", "read,pread64", "3+7"),
        )
    ),
    *(Slow(service, seconds) for service in ("gateway", "files", "backup") for seconds in (0.3, 2.0)),
]
