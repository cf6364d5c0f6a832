"""A private MariaDB server for tests, with the durability settings docsave asks for."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pymysql

from docsave_services.runtime.ports import LOOPBACK, free_ports
from tests.support.programs import Program
from tests.support.stillness import held_still
from tests.support.waiting import wait_until

READY_SECONDS = 60.0


class MariaDb:
    """A running server; the account is ``root`` without a password, on loopback only."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._data = directory / "data"
        self._log = directory / "output.log"
        self.port = free_ports(1)[0]
        self._server: Program | None = None

    def install(self) -> None:
        """Create the system tables."""
        command = [
            _program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={self._data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            f"--user={getpass.getuser()}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [
            _program("mariadbd"),
            "--no-defaults",
            f"--datadir={self._data}",
            f"--socket={self._data}/s.sock",
            f"--port={self.port}",
            f"--bind-address={LOOPBACK}",
            f"--user={getpass.getuser()}",
            "--log-bin",
            "--sync-binlog=1",
            "--innodb-flush-log-at-trx-commit=1",
            "--character-set-server=utf8mb4",
            "--max-connections=300",
        ]
        self._server = Program(command, self._log)
        wait_until(lambda: self._execute("SELECT 1"), READY_SECONDS)

    def uri(self, database: str) -> str:
        """The URI of ``database``, which is created when there is none."""
        self._execute(f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4")
        return f"mysql+pymysql://root@{LOOPBACK}:{self.port}/{database}?charset=utf8mb4"

    def fresh_uri(self) -> str:
        """The URI of a new, empty database."""
        return self.uri(f"test_{uuid.uuid4().hex[:16]}")

    def drop(self, uri: str) -> None:
        """Remove the database of ``uri``."""
        database = uri.rpartition("/")[2].partition("?")[0]
        self._execute(f"DROP DATABASE IF EXISTS `{database}`")

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._server is not None:
            self._server.stop(signal.SIGKILL)

    def restart(self) -> None:
        """End the server if it still runs (as a crash would), and start it again on the same port."""
        self.kill()
        self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It is there, accepts connections, and says nothing for the length of the block."""
        assert self._server is not None
        with held_still(self._server.process.pid):
            yield

    def stop(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.stop()

    def _execute(self, statement: str) -> bool:
        connection = pymysql.connect(host=LOOPBACK, port=self.port, user="root", connect_timeout=5)
        try:
            connection.cursor().execute(statement)
        finally:
            connection.close()
        return True


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is not installed"
    return found
