"""The whole of docsave as processes, started exactly as ``make run`` starts it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from docsave_services.runtime import processes
from docsave_services.runtime.announce import is_ready
from docsave_services.runtime.ports import LOOPBACK, free_ports
from docsave_services.runtime.supervisor_config import STOP_LIMIT_SECONDS
from tests.support.programs import Program
from tests.support.stillness import hold_still
from tests.support.waiting import wait_until

READY_SECONDS = 120.0
"""A start takes ten seconds on an idle machine; tests run on busy ones."""

RUN = [sys.executable, "-m", "docsave_services.runtime.supervise"]


class System:
    """docsave with directories and ports of its own.

    ``env`` are settings beside the directories and ports, for instance ``DOCSAVE_DB_URI``. The log is in ``log``.
    """

    admin_login = "admin"
    command: ClassVar[list[str]] = RUN

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.data_dir = directory / "data"
        self.backup_dir = directory / "backups"
        self.log = directory / "system.log"
        port, notifier_port = free_ports(2)
        self.base_url = f"http://{LOOPBACK}:{port}"
        self.socket_url = f"http://{LOOPBACK}:{notifier_port}"
        self.env = {
            "DOCSAVE_PORT": str(port),
            "DOCSAVE_NOTIFIER_PORT": str(notifier_port),
            "DOCSAVE_DATA_DIR": str(self.data_dir),
            "DOCSAVE_BACKUP_DIR": str(self.backup_dir),
            **(env or {}),
        }
        self._program: Program | None = None

    @property
    def admin_password(self) -> str:
        """The first administrator's password."""
        given = self.env.get("DOCSAVE_ADMIN_PASSWORD")
        return given or (self.data_dir / "secrets" / "admin_password").read_text().strip()

    @property
    def amqp_uri(self) -> str:
        """Where the system's broker listens; holds its password."""
        return self.shell_environment()["DOCSAVE_AMQP_URI"]

    def shell_environment(self) -> dict[str, str]:
        """The settings of the running system as an operator's shell gets them by sourcing ``<data>/env``."""
        text = (self.data_dir / "env").read_text()
        return {name: value.strip("'") for name, value in re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE)}

    def start(self) -> None:
        """Start it, without waiting."""
        inherited = {name: "" for name in os.environ if name.startswith("DOCSAVE_") and name not in self.env}
        self._program = Program(self.command, self.log, {**inherited, **self.env})

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every part answers."""

        def ready() -> bool:
            assert self._program is not None
            assert self._program.running, "the system has ended"
            return is_ready(self.base_url)

        try:
            wait_until(ready, seconds, interval=0.3)
        except AssertionError as exc:
            raise AssertionError(f"not ready after {seconds} s: {self._readiness()}") from exc

    @property
    def front_pid(self) -> int:
        """Process id of the process in front, which all others descend from."""
        assert self._program is not None
        return self._program.process.pid

    def pid_of(self, service: str) -> int:
        """Process id of a service, such as ``files``, of ``broker`` or of ``epmd``."""
        running = self.processes()
        supervisor = self.supervisor_pid(running)
        found = [pid for pid, name in running.items() if name == service and _parent_of(pid) == supervisor]
        assert len(found) == 1, f"{service}: {found} of {running}"
        return found[0]

    def processes(self) -> dict[int, str]:
        """All processes of this system, the one in front aside."""
        return processes.of_data_dir(self.data_dir)

    @staticmethod
    def supervisor_pid(running: Mapping[int, str]) -> int:
        """The process id of supervisord among ``processes()``."""
        (found,) = [pid for pid, name in running.items() if name == "supervisord"]
        return found

    def kill(self, service: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a service's process; the process id that got it."""
        pid = self.pid_of(service)
        os.kill(pid, number)
        return pid

    def hold_still(self, service: str) -> int:
        """Stop a service's process where it is; its process id, for SIGCONT."""
        pid = self.pid_of(service)
        hold_still(pid)
        return pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process in front, as Ctrl-C or a service manager does."""
        os.kill(self.front_pid, number)

    def wait_ended(self, seconds: float = STOP_LIMIT_SECONDS) -> int:
        """The exit status, once the process in front has ended."""
        assert self._program is not None
        return self._program.wait(seconds)

    def stop(self) -> None:
        """Stop it in order, or by force; afterwards nothing of it runs."""
        if self._program is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGTERM)
        with contextlib.suppress(AssertionError):
            self.wait_ended(STOP_LIMIT_SECONDS + 5)
        self._program.stop(signal.SIGKILL)
        processes.end_all(self.data_dir, 0)
        self._program = None

    def output(self) -> str:
        """The system's log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _readiness(self) -> str:
        try:
            with urllib.request.urlopen(f"{self.base_url}/health/ready", timeout=10) as answer:  # noqa: S310
                return json.dumps(json.load(answer))
        except urllib.error.HTTPError as exc:
            return exc.read().decode(errors="replace")
        except OSError as exc:
            return f"{exc}\n{self.output()[-3000:]}"


@contextlib.contextmanager
def running_system(directory: Path, **env: str) -> Iterator[System]:
    """A system that is ready, ended with the block however that ends."""
    system = System(directory, env)
    try:
        system.start()
        system.wait_ready()
        yield system
    finally:
        system.stop()


class SystemFactory:
    """Makes systems below one directory and remembers them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.made: list[System] = []

    def __call__(self, **env: str) -> System:
        self.made.append(System(self._directory / f"system{len(self.made)}", env))
        return self.made[-1]


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0
