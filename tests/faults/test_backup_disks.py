"""The backup's disk is full, read-only, away or failing: real mounts and system calls, a journal in memory.

The whole system is attacked in the same ways by the catalogue.
"""

from __future__ import annotations

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from docsave_services.errors import Unavailable
from tests.integration.test_backup import assert_complete
from tests.support.backup import BackupProcess, StandInFiles
from tests.support.journal import Journal
from tests.support.rabbitmq import Broker
from tests.support.strace import Strace
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

DISK = "64m"
MB = 1_000_000


class Disk:
    """64 MiB of memory as the disk of the backup, and the process that copies there."""

    def __init__(self, broker: Broker, home: Path) -> None:
        self.journal = Journal(home / "store", epoch=str(uuid.uuid4()))
        self.files = StandInFiles(broker.amqp_uri, self.journal)
        self.backup = BackupProcess(broker.amqp_uri, home)
        self.backup.root.mkdir()

    def mount(self, *options: str) -> None:
        """Attach it."""
        run("mount", "-t", "tmpfs", "-o", ",".join((f"size={DISK}", *options)), "docsave-test", str(self.backup.root))

    def add(self, count: int, size: int = 1000) -> None:
        """So many documents more, told on the bus."""
        first = len(self.journal.events) + 1
        for number in range(first, first + count):
            self.journal.add(b"%d" % number * (size // 4), file_id=number)
        self.files.tell(*self.journal.events[first - 1 :])

    def wait_complete(self) -> None:
        """Until everything is safe, and nothing else is there."""
        self.backup.wait_caught_up(len(self.journal.events))
        assert_complete(self.backup.root, self.journal)
        assert self.backup.wait_state("active")["failing"] == []


def run(*command: str) -> None:
    """A command that must succeed."""
    subprocess.run(command, check=True, capture_output=True, timeout=20)


@pytest.fixture(scope="module")
def disk(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    disk = Disk(broker, tmp_path_factory.mktemp("small_disk"))
    try:
        disk.mount()
    except subprocess.CalledProcessError as exc:
        pytest.skip(f"mounting takes rights that this machine does not give: {exc.stderr!r}")
    try:
        disk.files.start()
        disk.backup.start()
        disk.backup.wait_state("active")
        disk.add(3)
        disk.wait_complete()
        yield disk
    finally:
        disk.backup.kill()
        disk.files.stop()
        with contextlib.suppress(subprocess.CalledProcessError):
            run("umount", "-l", str(disk.backup.root))


def test_a_full_disk_is_waited_for(disk: Disk) -> None:
    """It is told, nothing torn stays, and with room again everything is copied."""
    filler = disk.backup.root.parent / "backups" / "damaged"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(MB))
    disk.add(6, 2 * MB)
    status = disk.backup.wait_state("disk_full")
    assert status["reason"] == "the backup disk is full"
    assert not [path for path in disk.backup.root.glob("history/*/*/v*") if path.stat().st_size == 2 * MB]
    filler.unlink()
    disk.wait_complete()


def test_a_disk_that_fails_an_fsync_is_not_believed(disk: Disk) -> None:
    """What was written before the error is thrown away and written anew."""
    assert disk.backup.program is not None
    failing = Strace(disk.backup.program.process.pid, "fsync:error=EIO:when=1+2")
    try:
        disk.add(5)
        wait_until(lambda: "Input/output error" in disk.backup.output(), 30)
    finally:
        failing.stop()
    disk.wait_complete()


def test_an_unmounted_disk_gets_nothing(disk: Disk) -> None:
    """The empty directory below stays empty; with the disk back it goes on."""
    aside = disk.backup.root.with_name("disk")
    aside.mkdir()
    run("mount", "--bind", str(disk.backup.root), str(aside))
    run("umount", "-l", str(disk.backup.root))
    try:
        disk.add(3)
        wait_until(lambda: "is missing" in str(disk.backup.call("status")["reason"]), 20, 0.1)
        assert list(disk.backup.root.iterdir()) == []
    finally:
        run("mount", "--bind", str(aside), str(disk.backup.root))
        run("umount", str(aside))
    disk.wait_complete()


def test_a_disk_that_comes_back_read_only_is_waited_for(disk: Disk) -> None:
    """As after an error of its file system; writable again, it is used without a restart."""
    disk.backup.kill()
    run("mount", "-o", "remount,ro", str(disk.backup.root))
    try:
        disk.add(3)
        disk.backup.start()
        assert disk.backup.wait_state("read_only")["reason"] == "the backup disk is read-only"
        with pytest.raises(Unavailable, match="read-only"):
            disk.backup.call("health")
    finally:
        run("mount", "-o", "remount,rw", str(disk.backup.root))
    disk.wait_complete()
