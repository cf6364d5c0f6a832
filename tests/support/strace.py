"""strace on a running process: lets its system calls fail, wait or be its last."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from docsave_services.runtime.leash import leashed
from tests.support.waiting import wait_until

ATTACH_SECONDS = 30.0


class Strace:
    """``inject`` is strace's expression, such as ``fsync:error=EIO:when=2``; all threads, or only the first one."""

    def __init__(self, pid: int, inject: str | None, threads: bool = True, options: tuple[str, ...] = ()) -> None:
        self.output = Path(tempfile.mkstemp(prefix="docsave-strace-")[1])
        self._said = self.output.with_suffix(".err")
        what = ["-e", f"trace={inject.partition(':')[0]}", "-e", f"inject={inject}"] if inject else []
        follow = ["-f"] if threads else []
        command = ["strace", *follow, *what, *options, "-o", str(self.output), "-p", str(pid)]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(leashed(command), stdin=subprocess.DEVNULL, stderr=said)
        try:
            wait_until(lambda: b"attached" in self._said.read_bytes(), ATTACH_SECONDS)
        except AssertionError:
            self.stop()
            raise

    @property
    def running(self) -> bool:
        """Whether the process that it watches lives."""
        return self._process.poll() is None

    def stop(self) -> str:
        """Let go of the process, which goes on; the calls it made."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGINT)
        try:
            wait_until(lambda: not self.running, 20)
        finally:
            self._process.kill()
            self._process.wait(10)
        text = self.output.read_text(errors="replace")
        self.output.unlink(missing_ok=True)
        self._said.unlink(missing_ok=True)
        return text
