"""The command line client as people run it: a process of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import requests

from tests.support.programs import ROOT, Program
from tests.support.system import System

PASSWORD = "correct horse 1"
COMMAND = [sys.executable, "-W", "error::ResourceWarning", "-m", "docsave_client"]


class Person:
    """Somebody with an account, logged in with the command line; ``url`` and ``notifier`` may lead through a proxy."""

    def __init__(self, system: System, home: Path, url: str | None = None, notifier: str | None = None) -> None:
        self.system = system
        self.home = home
        self.home.mkdir()
        self.url = url or system.base_url
        self.notifier = notifier or system.socket_url
        self.login = f"user-{uuid.uuid4().hex[:10]}"
        answer = requests.post(f"{system.base_url}/users", json={"login": self.login, "password": PASSWORD}, timeout=30)
        assert answer.status_code == 201, answer.text
        self.id: int = answer.json()["id"]
        self.log_in(PASSWORD)

    @property
    def env(self) -> dict[str, str]:
        return {"XDG_CONFIG_HOME": str(self.home / "config"), "XDG_STATE_HOME": str(self.home / "state")}

    @property
    def login_file(self) -> Path:
        return self.home / "config" / "docsave" / "login.json"

    def log_in(self, password: str) -> None:
        self.run("login", self.url, "--notifier", self.notifier, "--login", self.login, given=password)

    def run(self, *arguments: str | Path, given: str = "", code: int = 0) -> str:
        """What a command prints; it must end with ``code``."""
        done = self._run(arguments, given)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout

    def error(self, *arguments: str | Path, code: int, given: str = "") -> str:
        """The one line that a command which fails writes."""
        done = self._run(arguments, given)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr.strip()

    def json(self, *arguments: str | Path) -> list[dict[str, Any]]:
        """What a command says to programs."""
        return [json.loads(line) for line in self.run("--json", *arguments).splitlines()]

    def start(self, log: Path, *arguments: str | Path) -> Program:
        """A command that goes on."""
        return Program([*COMMAND, *map(str, arguments)], log, self.env)

    def _run(self, arguments: tuple[str | Path, ...], given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **self.env},
            input=given + "\n" if given else "",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


class Administrator(Person):
    """The first administrator."""

    def __init__(self, system: System, home: Path, url: str | None = None, notifier: str | None = None) -> None:
        self.system = system
        self.home = home
        self.home.mkdir()
        self.url = url or system.base_url
        self.notifier = notifier or system.socket_url
        self.login = system.env.get("DOCSAVE_ADMIN_LOGIN", "admin")
        self.log_in(system.admin_password)
