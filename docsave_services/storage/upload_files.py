"""How one unfinished upload lies on disk: its state, its bytes, and who holds it (see ``storage.unfinished``)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docsave_services.errors import NotFound
from docsave_services.log import get_logger

_log = get_logger(__name__)

STATE, CONTENT, WANTED = "state.json", "content", "wanted"


@dataclass(frozen=True, slots=True)
class UploadState:
    """What is known of an upload beside its bytes. The later fields are filled one after the other while finishing.

    ``length`` in bytes is None while the client has not said it. ``metadata`` is the client's header as it came.
    ``unverified_from`` is where a piece begins whose checksum has not been compared: after a crash it goes.
    """

    length: int | None
    metadata: str
    name: str
    folder: str | None = None
    labels: dict[str, str] | None = None
    unverified_from: int | None = None
    sha256: str | None = None
    media_type: str | None = None
    change_key: str | None = None
    file_id: int | None = None


def read_state(path: Path) -> UploadState:
    """The state that is written at ``path``; ``NotFound`` when there is none, or none that can be read."""
    try:
        return UploadState(**json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFound from exc
    except (ValueError, TypeError) as exc:
        _log.error("upload_state_unreadable", upload=path.parent.name)
        raise NotFound from exc


def last_change(path: Path) -> float:
    """When the newest of an upload's files was written; of the directory itself when it has none."""
    moments = []
    for name in (STATE, CONTENT) if path.suffix != ".json" else ():
        with contextlib.suppress(FileNotFoundError):
            moments.append((path / name).stat().st_mtime)
    return max(moments) if moments else path.stat().st_mtime


def remove_upload(path: Path) -> None:
    """Remove an upload with all its bytes."""
    (path / STATE).unlink(missing_ok=True)  # first: without it there is no upload
    for entry in entries(path):
        entry.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a waiter has just said that it wants the upload: the sweep takes what is left
        path.rmdir()


def entries(directory: Path) -> Iterator[Path]:
    """What is in ``directory``, nothing when it is not there."""
    try:
        with os.scandir(directory) as found:
            for entry in found:
                yield Path(entry.path)
    except FileNotFoundError:
        return


def try_lock(lock: int) -> bool:
    """Hold the upload whose directory is open as ``lock``; False while somebody else does."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
