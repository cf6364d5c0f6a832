"""Compaction of one file: older versions become patches, step by step, so that the last one may be any. Blocking.

Only for the process that may write. The newest version with content stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup.catalogue import entries_of
from backup.compact_plan import wanted_base
from backup.content import forget_cached, never, unless, write_content
from backup.freeing import free_plain, is_same, object_of, status_of
from backup.layout import STEPS_MAX, Layout
from backup.names import COMPACTED_SUFFIX, patch_name
from backup.patch import DoesNotShrink, can_be_base, patch_bytes_max, room, write_patch, write_side
from docsave_services.contracts import FileEvent
from docsave_services.errors import BlobDamaged
from docsave_services.storage.durable import fsync_directory
from docsave_services.storage.patches import Layers, gathered


@dataclass(slots=True)
class Tally:
    """What compaction did: versions that became patches, the bytes that saved, those left plain because they do not
    shrink, and those that could not be read (``verify`` names them)."""

    compacted: int = 0
    saved_bytes: int = 0
    incompressible: int = 0
    unreadable: int = 0


class FileCompaction:
    """Compacts the file in ``directory`` of the backup ``root``: versions made before ``before``.

    ``pause`` is called after each version, with nothing half done. ``Cancelled`` when ``cancelled`` says so.
    """

    def __init__(
        self,
        root: Path,
        directory: Path,
        before: datetime,
        tally: Tally,
        cancelled: Callable[[], bool] = never,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._root = root
        self._directory = directory
        self._before = before
        self._tally = tally
        self._cancelled = cancelled
        self._pause = pause

    def run(self) -> None:
        """Make patches of what is due, the oldest first: what it is a patch against is plain then, mostly."""
        layout = Layout(self._directory)
        if not any(_is_open(layout, version) for version in layout.versions[:-1]):
            return
        contents = contents_of(self._directory)
        for version in self._due(layout, contents):
            self._become_patch(version, contents)
            self._pause()

    def _due(self, layout: Layout, contents: dict[int, FileEvent]) -> list[int]:
        newest = max(contents, default=0)
        plain = [v for v in contents if v != newest and layout.plain(v) and self._is_old(contents[v])]
        usable = bases(contents)
        due = [v for v in plain if self._is_worth_it(layout, v, contents, plain) and not _is_settled(layout, v, usable)]
        return [*self._too_far(layout, contents, due, usable), *due]

    def _is_old(self, event: FileEvent) -> bool:
        return made_at(event) < self._before

    def _is_worth_it(self, layout: Layout, version: int, contents: dict[int, FileEvent], old: Sequence[int]) -> bool:
        """Room is gained only when every name of the content becomes a patch: those of this file that are due, too."""
        if patch_bytes_max(contents[version]["size"]) <= 0:
            return False
        status = status_of(layout.plain(version))
        if status is None:
            return False
        same = [v for v in old if contents[v]["sha256"] == contents[version]["sha256"]]
        own = sum(1 for v in same if is_same(status_of(layout.plain(v)), status))
        return status.st_nlink <= own + is_same(status_of(object_of(self._root, contents[version])), status)

    def _too_far(
        self, layout: Layout, contents: dict[int, FileEvent], due: Sequence[int], usable: Sequence[int]
    ) -> list[int]:
        """The patches to be made again against what is now wanted, when the way to plain content would be too long."""
        after = {v: layout.base(v) for v in contents}
        after.update({v: wanted_base(v, usable) for v in due})
        if all(_steps(v, after) <= STEPS_MAX for v in contents):
            return []
        return [v for v in contents if layout.packed(v) and layout.base(v) != wanted_base(v, usable)]

    def _become_patch(self, version: int, contents: dict[int, FileEvent]) -> None:
        layout = Layout(self._directory)
        base = wanted_base(version, bases(contents))
        try:
            if layout.plain(version) is None:
                self._tally.saved_bytes -= make_plain(layout, version, contents[version], self._cancelled)
                self._tally.compacted -= 1
                layout = Layout(self._directory)
            self._pack(layout, version, base, contents)
        except DoesNotShrink:
            self._tally.incompressible += 1
            _leave_plain(layout, version, base)
        except (BlobDamaged, FileNotFoundError):
            self._tally.unreadable += 1

    def _pack(self, layout: Layout, version: int, base: int | None, contents: dict[int, FileEvent]) -> None:
        event, plain = contents[version], layout.plain(version)
        if plain is None:
            raise BlobDamaged
        base = base if can_be_base(event["size"]) else None
        patch = self._make_patch(layout, base, contents, event, plain)
        write_side(self._directory / patch_name(version), patch.name, base, _plain_name(layout, base))
        freed = free_plain(self._root, plain, event)
        self._tally.compacted += 1
        self._tally.saved_bytes += freed - room(patch.stat().st_size) - room(1)

    def _make_patch(
        self, layout: Layout, base: int | None, contents: dict[int, FileEvent], event: FileEvent, plain: Path
    ) -> Path:
        content = layout.layers(event["version"]).verified(event["sha256"], event["size"])
        target = plain.with_name(plain.name + COMPACTED_SUFFIX)
        temporary = write_patch(content, event["size"], _prefix(layout, base, contents), target, self._cancelled)
        try:
            self._prove(layout, base, temporary, event)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_directory(self._directory)
        return target

    def _prove(self, layout: Layout, base: int | None, patch: Path, event: FileEvent) -> None:
        """Read it all again as a reader will, the patch from the disk; ``BlobDamaged`` unless it is the content."""
        below = Layers(None) if base is None else layout.layers(base)
        whole = Layers(below.plain, (*below.patches, lambda: _open_on_disk(patch)))
        for _ in unless(self._cancelled, whole.verified(event["sha256"], event["size"])):
            pass


def contents_of(directory: Path) -> dict[int, FileEvent]:
    """The versions of a file whose content is there, with their events, oldest first. Without unreadable entries."""
    entries = entries_of(int(directory.name), directory)
    return {entry.version: entry.event for entry in entries if entry.event and entry.is_own and entry.content}


def made_at(event: FileEvent) -> datetime:
    """When the version was made; a time without its offset is UTC."""
    at = datetime.fromisoformat(event["at"])
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def bases(contents: dict[int, FileEvent]) -> list[int]:
    """Those of them that a patch can be made against."""
    return [version for version, event in contents.items() if can_be_base(event["size"])]


def make_plain(layout: Layout, version: int, event: FileEvent, cancelled: Callable[[], bool] = never) -> int:
    """Put the exact bytes of a version beside its patch: from then on they count. How many bytes that takes up."""
    packed = layout.packed(version)
    if packed is None:
        raise BlobDamaged
    target = packed.with_name(packed.name.removesuffix(COMPACTED_SUFFIX))
    write_content(layout.layers(version).verified(event["sha256"], event["size"]), target, cancelled)
    return room(event["size"]) - room(packed.stat().st_size) - room(1)


def age_limit(days: int) -> datetime:
    """Versions made before this are ``days`` old; with 0 all are."""
    return datetime.max.replace(tzinfo=UTC) if days == 0 else datetime.now(UTC) - timedelta(days=days)


def _is_open(layout: Layout, version: int) -> bool:
    """Whether there may be something to do: content that is plain and not noted as better left so."""
    side = layout.side(version)
    return layout.plain(version) is not None and not (side and side.patch is None)


def _is_settled(layout: Layout, version: int, usable: Sequence[int]) -> bool:
    """Whether it was tried before, against the same version, and does not shrink."""
    side = layout.side(version)
    return side is not None and side.patch is None and side.base == wanted_base(version, usable)


def _leave_plain(layout: Layout, version: int, base: int | None) -> None:
    """Note that the content does not shrink, so that it is not tried again and again."""
    write_side(layout.directory / patch_name(version), None, base, _plain_name(layout, base))
    plain = Layout(layout.directory).plain(version)
    for name in layout.files(version):
        if plain and name == plain.name + COMPACTED_SUFFIX:
            (layout.directory / name).unlink()


def _prefix(layout: Layout, base: int | None, contents: dict[int, FileEvent]) -> bytes | None:
    if base is None:
        return None
    return gathered(layout.layers(base).verified(contents[base]["sha256"], contents[base]["size"]))


def _open_on_disk(path: Path) -> int:
    """A descriptor for reading what the disk has, not what the system remembers of it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    forget_cached(fd)
    return fd


def _plain_name(layout: Layout, base: int | None) -> str | None:
    """The base's name when it is plain; a patch is one suffix longer."""
    if base is None:
        return None
    plain, packed = layout.plain(base), layout.packed(base)
    return plain.name if plain else packed.name.removesuffix(COMPACTED_SUFFIX) if packed else None


def _steps(version: int, base_of: dict[int, int | None]) -> int:
    steps, below = 0, base_of.get(version)
    while below is not None and steps <= STEPS_MAX:
        steps, below = steps + 1, base_of.get(below)
    return steps
