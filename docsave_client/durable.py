"""Writing files so that a crash leaves the old content or the new one, never a part."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

PRIVATE = 0o600


def write_atomically(path: Path, content: bytes, mode: int = PRIVATE, workplace: Path | None = None) -> None:
    """Put ``content`` at ``path``, durable when this returns, readable as ``mode`` says from its first moment.

    What a kill leaves behind lies in ``workplace``, a directory of the same file system; without one beside ``path``.
    """
    temporary = (workplace or path.parent) / f".{uuid.uuid4().hex}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask says
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def fsync_directory(directory: Path) -> None:
    """Make new names in ``directory`` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make the content of ``path`` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(directory: Path, mode: int = 0o755) -> None:
    """``directory`` and those above it, each durable in the one above."""
    if directory.is_dir():
        return
    make_directories(directory.parent, mode)
    directory.mkdir(mode=mode, exist_ok=True)
    fsync_directory(directory.parent)
