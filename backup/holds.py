"""Legal holds: what no rule of retention may give up. Blocking.

They lie in the backup directory itself, so that they are in force wherever it goes, also after a rebuild from it alone:
``holds/<file_id>.json`` lists every hold that a file or one of its versions ever had, with who, when and why.
A lock makes holding and giving up exclude each other: what was held when the answer came is never given up afterwards.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backup.catalogue import version_of, versions_of
from docsave_services.contracts import FILE_DELETE, Hold, HoldPage
from docsave_services.errors import BlobDamaged, NotFound, VersionThinned
from docsave_services.storage.durable import make_directories, write_file
from docsave_services.times import now, to_text

HOLDS = "holds"
FORMAT = "docsave-holds-1"

PAGE = 1000
"""Holds of a page, and what is left of the file that fills it."""

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Held:
    """What of a file is held."""

    whole: bool
    versions: frozenset[int]

    def has(self, version: int) -> bool:
        """Whether the version may not be given up."""
        return self.whole or version in self.versions


class Holds:
    """The holds below the backup directory ``root``."""

    def __init__(self, root: Path) -> None:
        self._directory = root / HOLDS

    def place(self, user_id: int, file_id: int, version: int | None, reason: str, by: int) -> Hold:
        """Hold the file or the version. One that is held already stays as it is, and is returned."""
        with self.locked():
            holds = self._of(file_id)
            found = _in_force(holds, version)
            if found is None:
                found = Hold(
                    user_id=user_id,
                    file_id=file_id,
                    version=version,
                    reason=reason,
                    by=by,
                    at=to_text(now()),
                    released_by=None,
                    released_at=None,
                )
                self._write(file_id, [*holds, found])
            return found

    def release(self, file_id: int, version: int | None, by: int) -> Hold:
        """End a hold; it stays on record. ``NotFound`` when there is none in force."""
        with self.locked():
            holds = self._of(file_id)
            found = _in_force(holds, version)
            if found is None:
                raise NotFound("There is no such hold")
            found["released_by"], found["released_at"] = by, to_text(now())
            self._write(file_id, holds)
            return found

    def held(self, file_id: int) -> Held:
        """What of the file is held. ``BlobDamaged`` when that cannot be read: then nothing may be given up."""
        versions = [hold["version"] for hold in self._of(file_id) if hold["released_at"] is None]
        return Held(None in versions, frozenset(version for version in versions if version is not None))

    def page(self, after: int, released: bool) -> HoldPage:
        """Those in force of files whose id is above ``after``, and with ``released`` those that ended, by file and in
        the order they were made. A page ends with a file."""
        found: list[Hold] = []
        for file_id in (file_id for file_id in self._file_ids() if file_id > after):
            if len(found) >= PAGE:
                return {"items": found, "next": found[-1]["file_id"]}
            found += [hold for hold in self._of(file_id) if released or hold["released_at"] is None]
        return {"items": found, "next": None}

    def readable(self) -> tuple[list[Hold], list[int]]:
        """All holds in force, and the files whose holds cannot be read."""
        found: list[Hold] = []
        bad: list[int] = []
        for file_id in self._file_ids():
            try:
                found += [hold for hold in self._of(file_id) if hold["released_at"] is None]
            except BlobDamaged:
                bad.append(file_id)
        return found, bad

    def _file_ids(self) -> list[int]:
        try:
            files = [path.stem for path in self._directory.iterdir() if path.suffix == ".json"]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in files if name.isascii() and name.isdigit())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the holds: nobody places or ends one meanwhile, in any process."""
        make_directories(self._directory)
        fd = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _of(self, file_id: int) -> list[Hold]:
        try:
            found: Any = json.loads((self._directory / f"{file_id}.json").read_bytes())
            holds: list[Hold] = [{key: hold[key] for key in Hold.__annotations__} for hold in found["holds"]]  # type: ignore[misc]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as exc:
            raise BlobDamaged(f"The holds of file {file_id} cannot be read") from exc
        return holds

    def _write(self, file_id: int, holds: list[Hold]) -> None:
        content = {"format": FORMAT, "holds": holds}
        write_file(
            self._directory / f"{file_id}.json", (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
        )


def _in_force(holds: list[Hold], version: int | None) -> Hold | None:
    return next((hold for hold in holds if hold["version"] == version and hold["released_at"] is None), None)


def place_hold(root: Path, file_id: int, version: int | None, reason: str, by: int) -> Hold:
    """Hold what the history has. ``NotFound`` for what it has not (yet), ``VersionThinned`` for what is gone."""
    found = version_of(root, file_id, version or versions_of(root, file_id, limit=1)["items"][0]["version"])
    if version is not None and found.get("thinned"):
        raise VersionThinned
    if version is not None and found["event"] == FILE_DELETE:
        raise NotFound("This version is a deletion: it has no content")
    return Holds(root).place(found["user_id"], file_id, version, reason, by)


def release_hold(root: Path, file_id: int, version: int | None, by: int) -> Hold:
    """As ``Holds.release``."""
    return Holds(root).release(file_id, version, by)


def holds_page(root: Path, after: int, released: bool) -> HoldPage:
    """As ``Holds.page``."""
    return Holds(root).page(after, released)
