"""``make profile``: py-spy flame graphs of each service under uploads, downloads and fan-out, in ``profiles/``.

Only what runs Python code is counted: a thread that waits for the disk, for a message or for work is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import wire
from bench.listeners import Listeners
from bench.programs import SERVICES, Server, docsave
from bench.small import path_of_new_file, upload
from tests.support.programs import ROOT
from tests.support.system import System, running_system

TARGET = ROOT / "profiles"
SECONDS = int(os.environ.get("SECONDS", "15"))
SAMPLES_A_SECOND = "200"
SOCKETS = 150


def main() -> None:
    """Profile under the loads that are named, or all."""
    TARGET.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="docsave-profile-") as directory,
        running_system(Path(directory)) as system,
    ):
        for name in sys.argv[1:] or _LOADS:
            _profile(system, name, _LOADS[name])


def _profile(system: System, name: str, load: Callable[[System, Server], object]) -> None:
    recorders = [_recorder(system, service, name) for service in SERVICES]
    load(system, docsave(system))
    for recorder in recorders:
        recorder.wait(SECONDS * 4)
    print(f"{name}: {', '.join(str(p.relative_to(ROOT)) for p in sorted(TARGET.glob(f'{name}-*.svg')))}")


def _recorder(system: System, service: str, name: str) -> subprocess.Popen[bytes]:
    target = str(TARGET / f"{name}-{service}.svg")
    options = ["--rate", SAMPLES_A_SECOND, "--duration", str(SECONDS), "--gil", "--format", "flamegraph"]
    program = str(Path(sys.executable).with_name("py-spy"))
    command = [program, "record", *options, "--output", target, "--pid", str(system.pid_of(service))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _uploads(system: System, server: Server) -> None:
    wire.load(server.port, 32, SECONDS + 2, partial(upload, server))


def _downloads(system: System, server: Server) -> None:
    get = wire.request("GET", path_of_new_file(server), server.token)
    wire.load(server.port, 32, SECONDS + 2, lambda: get)


def _fan_out(system: System, server: Server) -> None:
    listeners = Listeners(int(system.socket_url.rpartition(":")[2]), [server.token] * SOCKETS)
    try:
        wire.load(server.port, 8, SECONDS + 2, partial(upload, server))
    finally:
        listeners.close()


_LOADS: dict[str, Callable[[System, Server], object]] = {
    "uploads": _uploads,
    "downloads": _downloads,
    "fan-out": _fan_out,
}


if __name__ == "__main__":
    main()
