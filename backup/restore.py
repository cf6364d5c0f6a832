"""Restoring aside: files of the backup as plain files below another directory, as people know them. Blocking.

``<user id>_<login>/<folder>/<name>``. Names are made safe for any file system; two that would be the same there
(also but for case, or for the encoding of accents) are numbered. What is there already is never overwritten.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from backup.catalogue import Entry
from backup.content import copy_content, matches
from backup.names import ENTRY_NAME_BYTES_MAX, safe_name
from backup.restore_choice import sources_of
from docsave_services.contracts import FileEvent, UserDetails
from docsave_services.errors import BlobDamaged, BlobMissing
from docsave_services.storage.durable import DurableDirectories, make_directories

DIRECTORY_MODE = 0o750
FILE_MODE = 0o640
LOGIN_BYTES_MAX = 200


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one file: where it is below the target; ``present`` when it was there with that content."""

    path: PurePosixPath
    present: bool


class Aside:
    """Restores below ``target``, which may hold other things. ``root`` is the backup directory."""

    def __init__(self, root: Path, target: Path, accounts: Mapping[int, UserDetails], dry_run: bool = False) -> None:
        self._root = root
        self._target = target
        self._accounts = accounts
        self._dry_run = dry_run
        self._directories = DurableDirectories(target, DIRECTORY_MODE)
        self._user_id: int | None = None
        self._taken: set[str] = set()
        self._folders: dict[str, PurePosixPath] = {}

    def restore(self, entry: Entry, event: FileEvent) -> Restored:
        """Put the content of ``entry`` where its event says. Files must come user by user.

        ``BlobMissing`` or ``BlobDamaged`` when neither the copy nor its object is good, ``OSError`` from the disk.
        """
        if event["user_id"] != self._user_id:
            self._user_id = event["user_id"]
            self._taken, self._folders = set(), {}
        folder = self._folder(event)
        path, present = self._free(folder, event)
        if not present and not self._dry_run:
            self._write(entry, event, self._target / path)
        return Restored(path, present)

    def _folder(self, event: FileEvent) -> PurePosixPath:
        """The directory for a file. A folder that bears the name of a file is numbered like a second file."""
        wanted = event.get("folder", "")
        if wanted not in self._folders:
            place = PurePosixPath(self._user_directory(event["user_id"]))
            done: list[str] = []
            for part in filter(None, wanted.split("/")):
                done.append(part)
                key = "/".join(done)
                if key not in self._folders:
                    self._folders[key] = self._free_directory(place, part)
                place = self._folders[key]
            self._folders[wanted] = place
        return self._folders[wanted]

    def _user_directory(self, user_id: int) -> str:
        account = self._accounts.get(user_id)
        return f"{user_id}_{safe_name(account['login'], LOGIN_BYTES_MAX)}" if account else str(user_id)

    def _free_directory(self, parent: PurePosixPath, part: str) -> PurePosixPath:
        for number in _numbers():
            place = parent / numbered(part, number)
            there = self._target / place
            if _key(place) not in self._taken and (not os.path.lexists(there) or _is_directory(there)):
                self._taken.add(_key(place))
                return place
        raise AssertionError("numbers do not end")

    def _free(self, folder: PurePosixPath, event: FileEvent) -> tuple[PurePosixPath, bool]:
        """A name that nothing else has, and whether that very content is there already."""
        for number in _numbers():
            path = folder / numbered(event["name"], number)
            if _key(path) in self._taken:
                continue
            there = self._target / path
            free = not os.path.lexists(there)
            if free or _holds(there, event):
                self._taken.add(_key(path))
                return path, not free
        raise AssertionError("numbers do not end")

    def _write(self, entry: Entry, event: FileEvent, path: Path) -> None:
        sources = sources_of(self._root, entry)
        if not sources:
            raise BlobMissing("the backup has neither the copy nor its object")
        make_directories(self._target, DIRECTORY_MODE)
        self._directories.make(path.parent)
        for source in sources[:-1]:
            with contextlib.suppress(BlobDamaged):
                copy_content(source, path)
                break
        else:
            copy_content(sources[-1], path)
        path.chmod(FILE_MODE)
        with contextlib.suppress(OSError, ValueError):  # a time that this file system cannot hold
            moment = datetime.fromisoformat(event["at"]).timestamp()
            os.utime(path, (moment, moment))


def numbered(name: str, number: int) -> str:
    """``name`` made safe, as the ``number``-th of its kind: ``a (2).txt``."""
    if number == 1:
        return safe_name(name, ENTRY_NAME_BYTES_MAX)
    mark = f" ({number})"
    safe = safe_name(name, ENTRY_NAME_BYTES_MAX - len(mark))
    stem, dot, extension = safe.rpartition(".")
    return f"{stem}{mark}{dot}{extension}" if stem else f"{safe}{mark}"


def _numbers() -> range:
    return range(1, 2**31)


def _key(path: PurePosixPath) -> str:
    """The same for paths that some file system takes for one."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _holds(path: Path, event: FileEvent) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    return matches(path, event["sha256"], event["size"])
