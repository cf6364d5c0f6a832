"""Python loads this at its start when it is on PYTHONPATH: a service of docsave begins anew under libfaketime.

Its clock is the machine's plus what ``$FAULT_CLOCKS/<service>`` says, read again every second. Durations (the monotonic
clock) and the times of files stay true: a clock that jumps does not change them either.
"""

import os
import sys

_SERVICES = ("users", "files", "webhooks", "backup", "notifier", "gateway")
_LIBRARY = "libfaketimeMT.so.1"
_name = os.environ.get("SUPERVISOR_PROCESS_NAME", "")
if _name in _SERVICES and "LD_PRELOAD" not in os.environ:
    _clock = os.path.join(os.environ["FAULT_CLOCKS"], _name)  # noqa: PTH118 - loaded before each program: no imports
    if not os.path.exists(_clock):  # noqa: PTH110
        with open(_clock, "w") as _file:  # noqa: PTH123
            _file.write("+0\n")
    os.environ.update(
        LD_PRELOAD=f"/usr/lib/{sys.implementation._multiarch}/faketime/{_LIBRARY}",
        FAKETIME_TIMESTAMP_FILE=_clock,
        FAKETIME_CACHE_DURATION="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        NO_FAKE_STAT="1",
    )
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606
elif _name in _SERVICES:
    # libfaketime takes clock_nanosleep's "until then" of an unfaked clock for nonsense (EINVAL).
    import select
    import time
    import types

    _select = select.select  # eventlet replaces that name
    time.sleep = lambda seconds: _select([], [], [], seconds) and None  # type: ignore[assignment]
    # Threads of the system get their clock from eventlet, which would load the module once more for them.
    _original = types.ModuleType("time")
    vars(_original).update(vars(time))
    sys.modules["__original_module_time"] = _original
