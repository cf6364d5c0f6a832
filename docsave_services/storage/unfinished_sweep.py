"""What of all users' unfinished uploads the sweep must keep, and what it takes away."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from docsave_services.errors import NotFound
from docsave_services.log import get_logger
from docsave_services.storage.blobs import BlobStore, blob_key
from docsave_services.storage.unfinished import UPLOADS
from docsave_services.storage.upload_files import (
    CONTENT,
    STATE,
    entries,
    last_change,
    read_state,
    remove_upload,
    try_lock,
)

_log = get_logger(__name__)

SWEEP_SECONDS = 5.0
"""A sweep stops looking after this long; the next one goes on."""

_USER = re.compile(r"[1-9][0-9]{0,17}")


def promised_blobs(store: BlobStore) -> frozenset[str]:
    """The keys of blobs that unfinished uploads have become, and that their files are yet to name."""
    keys = set()
    for path in _all_uploads(store.root / UPLOADS):
        if path.suffix == ".json" or (path / CONTENT).exists():
            continue
        with contextlib.suppress(NotFound):  # finished, or swept
            sha256 = read_state(path / STATE).sha256
            if sha256 is not None:
                keys.add(blob_key(sha256))
    return frozenset(keys)


def sweep_unfinished(store: BlobStore, life_seconds: float, most: int = 1000, dry_run: bool = False) -> int:
    """Remove uploads that were left alone for ``life_seconds``, and the memory of those that became files so long ago.

    At most ``most`` of them and within ``SWEEP_SECONDS``. One that somebody holds stays. How many went, or would go.
    """
    end, removed = time.monotonic() + SWEEP_SECONDS, 0
    for path in _all_uploads(store.root / UPLOADS):
        if removed >= most or time.monotonic() > end:
            break
        try:
            if last_change(path) + life_seconds < time.time():
                removed += dry_run or _sweep(path, life_seconds)
        except FileNotFoundError:
            pass  # finished, or swept by another process
        except OSError as exc:
            _log.warning("unfinished_upload_not_swept", name=path.name, error=str(exc))
    return removed


def _sweep(path: Path, life_seconds: float) -> bool:
    if path.suffix == ".json":
        path.unlink()
        return True
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not try_lock(lock) or last_change(path) + life_seconds >= time.time():
            return False
        remove_upload(path)
        return True
    finally:
        os.close(lock)


def _all_uploads(root: Path) -> Iterator[Path]:
    for kind in ("open", "done"):
        for user in entries(root / kind):
            if _USER.fullmatch(user.name):
                yield from entries(user)
