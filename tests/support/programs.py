"""Programs that tests start: on a leash, in a process group of their own, their output in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from docsave_services.runtime.leash import leashed
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """One program with its children."""

    def __init__(self, command: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                leashed(command),
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def wait(self, seconds: float) -> int:
        """The exit status; ``AssertionError`` when it does not end in time."""
        wait_until(lambda: not self.running, seconds)
        return int(self.process.returncode)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> None:
        """End it: ask, wait, then force. What the group left behind goes too."""
        try:
            if self.running:
                self.send(number)
                self.wait(seconds)
        except AssertionError:
            pass
        finally:
            self.send(signal.SIGKILL)
            if self.running:
                self.wait(10)

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")
