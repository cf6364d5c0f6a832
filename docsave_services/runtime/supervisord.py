"""supervisord, bound to the ``make run`` that started it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from docsave_services.runtime.leash import bind_to_parent
from docsave_services.runtime.service import SUPERVISOR_PID

if __name__ == "__main__":
    data_dir, parent = Path(sys.argv[1]), int(sys.argv[2])
    bind_to_parent(signal.SIGTERM, parent)
    os.environ[SUPERVISOR_PID] = str(os.getpid())
    program = str(Path(sys.executable).with_name("supervisord"))
    configuration = str(data_dir / "run" / "supervisord.conf")
    os.execv(sys.executable, [sys.executable, program, "--configuration", configuration])  # noqa: S606
