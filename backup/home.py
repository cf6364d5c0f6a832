"""Whose directory this is: the marker, the record of it in the data directory, and the lock of the one that writes.

An unmounted disk leaves an empty directory behind; writing there would fill the root file system and look like a
backup. So the first start marks the directory and records its id in the data directory, and every later one refuses
a directory without that mark. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from backup.errors import DirectoryGone, Refused
from backup.trouble import reason_of, trouble_of
from docsave_services.contracts import BACKUP_MARKER
from docsave_services.storage.durable import fsync_directory, is_left_behind, make_directories, write_file

MARKER = BACKUP_MARKER
RECORD = "backup-store.json"
LOCK = "docsave-backup.lock"
REFUSING = "refusing"
EPOCH_CHANGED = "epoch_changed"

_NOT_CONTENT = frozenset({LOCK, "lost+found"})
"""What a directory may hold and still be empty: a new file system, or a first start that ended early."""


@dataclass(frozen=True, slots=True)
class Marker:
    """Which store of copies this is, and the epoch of the journal that it follows."""

    store_id: str
    epoch: str

    def require_epoch(self, epoch: str) -> None:
        """``Refused`` for a journal of another epoch: its versions are not this directory's versions."""
        if epoch != self.epoch:
            raise Refused(EPOCH_CHANGED, "the journal is a new one; this directory holds the history of the old one")


class Home:
    """The backup directory ``root``, recorded in ``data_dir``."""

    def __init__(self, root: Path, data_dir: Path) -> None:
        self.root = root
        self.data_dir = data_dir
        self._record = data_dir / RECORD

    def marker(self) -> Marker | None:
        """The directory's marker if it is the one on record; None when this is the very first start.

        ``Refused`` for a directory that is not the recorded one, or that is not empty and bears no marker.
        """
        marker, recorded = self.read_marker(), self._recorded()
        if marker is None and recorded:
            raise Refused(REFUSING, f"the marker {MARKER} is missing from the backup directory; is its disk mounted?")
        if marker is None and not self._is_empty():
            raise Refused(REFUSING, f"the backup directory is not empty and has no {MARKER}")
        if marker and recorded and marker.store_id != recorded:
            raise Refused(REFUSING, f"the backup directory belongs to another docsave; {RECORD} names a different one")
        return marker

    def initialise(self, epoch: str) -> Marker:
        """Mark the empty or missing directory as ours, once. Call it with the lock held."""
        marker = Marker(str(uuid.uuid4()), epoch)
        content = {"store_id": marker.store_id, "epoch": marker.epoch}
        write_file(self.root / MARKER, _pretty(content), 0o444)
        return marker

    def is_recorded(self, marker: Marker) -> bool:
        """Whether the data directory names this marker's store."""
        return self._recorded() == marker.store_id

    def adopt(self, marker: Marker) -> None:
        """Put the marker on record, unless it is.

        After the marker is durable: a crash in between is a directory whose epoch proves whose it is.
        """
        if not self.is_recorded(marker):
            make_directories(self._record.parent)
            write_file(self._record, _pretty({"store_id": marker.store_id}))

    def lock(self) -> Lock | None:
        """The lock of the one process that writes here, or None while another has it. ``Refused`` by a disk that takes
        nothing."""
        try:
            make_directories(self.root)
            fd = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as exc:
            state = trouble_of(exc)
            if state is None:
                raise
            raise Refused(state, reason_of(state)) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        fsync_directory(self.root)
        return Lock(fd)

    def seal(self) -> Seal:
        """A check that the directory is still the one it is now."""
        return Seal(self.root / MARKER, _identity(self.root / MARKER))

    def require_marker(self) -> Marker:
        """``Refused`` when the directory cannot be trusted to be the backup; also for readers."""
        marker = self.marker()
        if marker is None:
            raise Refused(REFUSING, "nothing has been backed up yet")
        return marker

    def read_marker(self) -> Marker | None:
        """The directory's marker, whosever it is; None without one. ``Refused`` for one that cannot be read."""
        try:
            found = json.loads((self.root / MARKER).read_bytes())
            return Marker(str(found["store_id"]), str(found["epoch"]))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as exc:
            raise Refused(REFUSING, f"the marker {MARKER} cannot be read") from exc

    def _recorded(self) -> str | None:
        try:
            return str(json.loads(self._record.read_bytes())["store_id"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as exc:
            raise Refused(REFUSING, f"the record {RECORD} in the data directory cannot be read") from exc

    def _is_empty(self) -> bool:
        try:
            names = [path.name for path in self.root.iterdir()]
        except FileNotFoundError:
            return True
        return all(name in _NOT_CONTENT or is_left_behind(name) for name in names)


class Lock:
    """Held until ``release`` or the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Let another process write. Harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@dataclass(frozen=True, slots=True)
class Seal:
    """The marker's file as it was; call it to raise ``DirectoryGone`` when another or none is there."""

    path: Path
    identity: tuple[int, int] | None

    def __call__(self) -> None:
        if self.identity is None or _identity(self.path) != self.identity:
            raise DirectoryGone(f"the marker {MARKER} is gone or changed")


def _identity(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def _pretty(content: dict[str, str]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
