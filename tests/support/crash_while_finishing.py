"""Finishes one resumable upload again and again, killed at the first step that touches the disk or calls the files
service, at the second, and so on.

``python -m tests.support.crash_while_finishing <directory> <upload id>``: copies ``<directory>/0`` (the blob store
before, and ``service.json``: what the stand-in of the files service has made) to ``<directory>/<n>`` and lets a child
finish there that ends with SIGKILL at its n-th step. Prints n of the first child that got through.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from docsave_services.contracts import StoredFile
from docsave_services.storage import BlobStore, UnfinishedUploads, UploadState
from gateway_http.tus import finishing
from gateway_http.tus.receiving import RunningHashes
from tests.support.crash_at_each_step import Countdown

USER_ID = 1
STEPS = ("fsync", "rename", "replace", "mkdir", "chmod", "utime", "unlink", "rmdir", "fchmod", "write")
STEPS_MAX = 200


def finish_once(root: Path, upload_id: str, countdown: Countdown | None = None) -> int:
    """Finish the upload as a gateway does that is asked for it; the file's id."""
    finishing.in_thread = _at_once  # type: ignore[attr-defined]
    store = BlobStore(root)
    uploads = UnfinishedUploads(store, 3600.0)
    held = uploads.hold(USER_ID, upload_id)
    if held is None:
        raise RuntimeError("the dead child holds it still")
    if countdown is not None:
        for name in STEPS:
            setattr(os, name, countdown.before(getattr(os, name)))
    try:
        return finishing.finish(held, store, RunningHashes(), lambda state, key: _register(root, state, key, countdown))
    finally:
        held.release()


def _at_once(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def _register(root: Path, state: UploadState, key: str, countdown: Countdown | None) -> StoredFile:
    """Like ``files.apply``: one file for each change key. A step before and one after."""
    if countdown is not None:
        countdown.step()
    made = json.loads((root / "service.json").read_text())
    made.setdefault(state.change_key, {"id": len(made) + 1, "path": key, "name": state.name})
    (root / "service.json").write_text(json.dumps(made))
    if countdown is not None:
        countdown.step()
    return cast(StoredFile, made[state.change_key])


def main(directory: Path, upload_id: str) -> int:
    """Kill at 1, 2, 3… until a child gets through; its number."""
    for steps in range(1, STEPS_MAX):
        root = directory / str(steps)
        shutil.copytree(directory / "0", root)
        child = os.fork()
        if child == 0:
            finish_once(root, upload_id, Countdown(steps))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if os.waitstatus_to_exitcode(status) != 0:
                sys.exit("the child failed")
            return steps
    sys.exit("no child got through")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2]))  # noqa: T201
