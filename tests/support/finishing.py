"""Finishing one resumable upload, with a stand-in for the files service that keeps what it made in ``service.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from docsave_services.contracts import StoredFile
from docsave_services.storage import BlobStore, UnfinishedUploads, UploadState
from gateway_http.tus import finishing
from gateway_http.tus.receiving import RunningHashes
from tests.support.crashing import Countdown

USER_ID = 1


def finish_once(root: Path, upload_id: str, countdown: Countdown | None = None) -> int:
    """Finish the upload as a gateway does that is asked for it; the file's id."""
    finishing.in_thread = _at_once  # type: ignore[attr-defined]
    store = BlobStore(root)
    uploads = UnfinishedUploads(store, 3600.0)
    held = uploads.hold(USER_ID, upload_id)
    if held is None:
        raise RuntimeError("the dead child holds it still")
    if countdown is not None:
        countdown.arm()
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


def finish_until_killed(root: Path, countdown: Countdown, upload_id: str) -> None:
    """For ``kill_at_each_step``; calls of the files service are steps too."""
    finish_once(root, upload_id, countdown)
