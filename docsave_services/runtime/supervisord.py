"""supervisord, bound to the ``make run`` that started it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from supervisor import poller, supervisord

from docsave_services.runtime.leash import bind_to_parent
from docsave_services.runtime.service import SUPERVISOR_PID

POLL_SECONDS = 0.1


class PromptPoller(poller.Poller):
    """supervisord looks at signals and ended children once a second; four groups that stop one after the other would
    spend a third of the time a stop may take on waiting for it to look."""

    def poll(self, timeout: float) -> Any:
        return super().poll(min(timeout, POLL_SECONDS))


if __name__ == "__main__":
    data_dir, parent = Path(sys.argv[1]), int(sys.argv[2])
    bind_to_parent(signal.SIGTERM, parent)
    os.environ[SUPERVISOR_PID] = str(os.getpid())
    poller.Poller = PromptPoller
    supervisord.main(["--configuration", str(data_dir / "run" / "supervisord.conf")])
