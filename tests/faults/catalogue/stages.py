"""What faults are done to: a running system, and around it proxies, servers and disks of its own."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.faults.attack import Target
from tests.faults.catalogue.fault import Place
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.mariadb import MariaDb
from tests.support.rabbitmq import Broker
from tests.support.system import running_system

SMALL_DISK_BYTES = 64 * 2**20
DATA_DISK_BYTES = 512 * 2**20
"""Below a whole data directory; the broker raises its alarm when less than 50 MB are free."""

CLOCK_DIRECTORY = Path(__file__).resolve().parents[2] / "support" / "shifted_clock"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which parts a stage has, and settings of its processes."""

    lines: bool = False
    disks: bool = False
    data_disk: bool = False
    env: tuple[tuple[str, str], ...] = ()
    clocks: bool = False


STAGES = {
    "plain": Wanted(),
    "lines": Wanted(lines=True),
    "small disks": Wanted(disks=True),
    "one disk": Wanted(data_disk=True),
    "one thread": Wanted(env=(("EVENTLET_THREADPOOL_SIZE", "1"),)),
    "clocks": Wanted(clocks=True),
}


@contextlib.contextmanager
def open_stage(name: str, database: str, directory: Path, server: Callable[[], MariaDb]) -> Iterator[Place]:
    """A system that is ready, on ``database``; ``server`` gives the MariaDB. All ends with the block."""
    wanted = STAGES[name]
    with contextlib.ExitStack() as stack:
        env = dict(wanted.env)
        place = Place(Target.__new__(Target))
        direct = None
        if database == "mariadb":
            place.mariadb = server()
            direct = env["DOCSAVE_DB_URI"] = place.mariadb.fresh_uri()
        if wanted.lines:
            place.broker = Broker(directory / "broker")
            stack.callback(place.broker.stop)
            place.broker.start()
            place.bus, env["DOCSAVE_AMQP_URI"] = _proxied(stack, place.broker.amqp_uri)
            if direct:
                place.database, env["DOCSAVE_DB_URI"] = _proxied(stack, direct)
        if wanted.clocks:
            env |= clock_environment(directory)
        system_directory = directory / "system"
        if wanted.disks:
            place.backup_disk = stack.enter_context(_disks(directory, system_directory))
        if wanted.data_disk:
            stack.enter_context(_disk(system_directory / "data", DATA_DISK_BYTES))
            (system_directory / "data").chmod(0o700)
        system = stack.enter_context(running_system(system_directory, **env))
        place.target = Target(system, direct)
        yield place


def _proxied(stack: contextlib.ExitStack, uri: str) -> tuple[CuttingProxy, str]:
    where = urlsplit(uri)
    proxy = stack.enter_context(cutting_proxy(f"tcp://{where.hostname}:{where.port}"))
    account = where.netloc.rpartition("@")[0]
    return proxy, urlunsplit(where._replace(netloc=f"{account}@127.0.0.1:{proxy.port}"))


@contextlib.contextmanager
def _disks(directory: Path, system: Path) -> Iterator[Path]:
    """64 MiB for the blobs, and as much for the backup, whose disk can be taken away from its directory."""
    blobs, backups, disk = system / "data" / "blobs", system / "backups", directory / "disk"
    backups.mkdir(parents=True)
    with _disk(blobs, SMALL_DISK_BYTES), _disk(disk, SMALL_DISK_BYTES), contextlib.ExitStack() as stack:
        (system / "data").chmod(0o700)
        run("mount", "--bind", str(disk), str(backups))
        stack.callback(subprocess.run, ["umount", "-l", str(backups)], check=False, capture_output=True)
        yield disk


@contextlib.contextmanager
def _disk(directory: Path, size: int) -> Iterator[None]:
    directory.mkdir(parents=True)
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "docsave-fault", str(directory))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=False, timeout=60)


def clock_environment(directory: Path) -> dict[str, str]:
    """Settings under which each service reads its own clock from ``<directory>/clocks/<service>``."""
    clocks = directory / "clocks"
    clocks.mkdir(parents=True)
    return {"PYTHONPATH": str(CLOCK_DIRECTORY), "FAULT_CLOCKS": str(clocks)}


def run(*command: str) -> None:
    """Run a program that must not fail."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
