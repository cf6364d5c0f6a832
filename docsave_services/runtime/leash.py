"""Children that do not outlive their parent, however it ends (Linux; elsewhere this does nothing)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def bind_to_parent(wanted: signal.Signals = signal.SIGKILL, parent: int | None = None) -> None:
    """Have the kernel send ``wanted`` to this process when its parent ends. Survives ``exec``.

    ``parent`` is the process id the parent had when it started us: if another one is our parent by now, ours died
    before the kernel knew about the leash, and this process ends at once.
    """
    if not sys.platform.startswith("linux"):
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(wanted), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent is not None and os.getppid() != parent:
        sys.exit(1)


def leashed(command: list[str], wanted: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command line that runs ``command`` on a leash held by whoever starts it."""
    return [sys.executable, "-m", __name__, wanted.name, *command]


if __name__ == "__main__":
    bind_to_parent(signal.Signals[sys.argv[1]])
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the program the caller asked for
