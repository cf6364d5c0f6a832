"""Giving up plain content: its name in the history, and its object when nobody else has it. Blocking."""

from __future__ import annotations

import os
from pathlib import Path

from backup.history import OBJECTS
from backup.patch import room
from docsave_services.contracts import FileEvent
from docsave_services.storage import blob_key
from docsave_services.storage.durable import fsync_directory


def free_plain(root: Path, plain: Path, event: FileEvent) -> int:
    """Remove the plain content, the object first: so none is left that nobody names. How many bytes that freed."""
    status, item = os.lstat(plain), object_of(root, event)
    known = status_of(item)
    same = is_same(known, status)
    if known and known.st_nlink == (2 if same else 1):
        item.unlink(missing_ok=True)
        fsync_directory(item.parent)
    plain.unlink()
    fsync_directory(plain.parent)
    return room(event["size"]) if status.st_nlink <= 1 + same else 0


def object_of(root: Path, event: FileEvent) -> Path:
    """Where the content lies once for all that have it."""
    return root / OBJECTS / blob_key(event["sha256"])


def status_of(path: Path | None) -> os.stat_result | None:
    """What the system knows of the file; None for none."""
    try:
        return os.lstat(path) if path else None
    except FileNotFoundError:
        return None


def is_same(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    """Whether both are the same file on the disk."""
    return bool(one and other) and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)  # type: ignore[union-attr]
