"""Sockets of a long load, in a process of their own: what they read takes nothing from the people who work.

``python -m tests.soak.listeners PORT`` reads a token a line, tells when all have identified themselves, and at the end
of its input how many of them the server closed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tests.support.many_sockets import ManySockets
from tests.support.programs import ROOT

IDENTIFIED = "identified"
IDENTIFY_SECONDS = 240.0


class Listeners:
    """A socket for each token, told of everything of its account; hears all of it and keeps nothing."""

    def __init__(self, port: int, tokens: Sequence[str]) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "tests.soak.listeners", str(port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n".join(tokens) + "\n\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == IDENTIFIED

    def close(self) -> int:
        """Hang up; how many had been closed before."""
        said, _ = self._process.communicate("", timeout=60)
        return int(said)


class _Forgetful(ManySockets):
    def _take(self, number: int, text: str) -> None:
        if not text.startswith("42"):
            super()._take(number, text)


def main(port: int) -> None:
    tokens = list(iter(lambda: sys.stdin.readline().strip(), ""))
    sockets = _Forgetful(port, tokens)
    sockets.wait_identified(IDENTIFY_SECONDS)
    print(IDENTIFIED, flush=True)
    sys.stdin.read()
    print(sockets.closed, flush=True)
    sockets.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
