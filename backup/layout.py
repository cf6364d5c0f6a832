"""How the contents of one file's versions lie in its directory: plain, as a patch, given up. Blocking.

The one place that knows. Files beside an entry say it, never the entry's JSON, which the chain covers:
``v000001.patch.json`` names the neighbour that ``*.zst`` is a patch against, ``v000001.thinned.json`` is a tombstone.
Plain content counts before any patch: so every step of making one, or of undoing it, may be the last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from backup.names import COMPACTED_SUFFIX, content_prefix, patch_name, thinned_name, version_of_json
from docsave_services.errors import BlobDamaged
from docsave_services.storage.patches import Layers

STEPS_MAX = 16
"""Patches between a version and content that needs none before it."""


@dataclass(frozen=True, slots=True)
class Side:
    """What ``v000001.patch.json`` says. ``patch`` is the patch's name, None where the content was better left plain;
    ``base`` the version that it is, or would be, against; None for a frame of its own."""

    patch: str | None
    base: int | None


class Layout:
    """One file's directory as it was when this was made; one that is not there is empty."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._names = _names_in(directory)
        self._present = set(self._names)
        self.versions = sorted(version for name in self._names if (version := version_of_json(name)) is not None)
        self._contents: dict[str, list[str]] = {}
        for name in self._names:
            label, mark, _ = name.partition("_")
            if mark:
                self._contents.setdefault(label + mark, []).append(name)
        self._sides: dict[int, Side | None] = {}

    def is_thinned(self, version: int) -> bool:
        """Whether the content was given up by a rule."""
        return thinned_name(version) in self._present

    def side(self, version: int) -> Side | None:
        """What is noted of the version's compaction; None for nothing, or nothing that can be read."""
        if patch_name(version) not in self._present:
            return None
        if version not in self._sides:
            self._sides[version] = _read_side(self.directory / patch_name(version))
        return self._sides[version]

    def files(self, version: int) -> list[str]:
        """Names of all files with content of the version, also left-overs."""
        return self._contents.get(content_prefix(version), [])

    def plain(self, version: int) -> Path | None:
        """The file with the exact bytes."""
        names = self.files(version)
        side = self.side(version)
        patch = side.patch if side else None
        whole = [name for name in names if name != patch and not _is_left_over(name, names)]
        return self.directory / whole[0] if whole else None

    def packed(self, version: int) -> Path | None:
        """The patch, where there is no plain content."""
        side = self.side(version)
        if side is None or side.patch is None or self.plain(version) is not None:
            return None
        return self.directory / side.patch if side.patch in self._present else None

    def base(self, version: int) -> int | None:
        """The version that the patch is against."""
        side = self.side(version)
        return side.base if side and self.packed(version) else None

    def way(self, version: int) -> list[Path]:
        """The files that the content is made of: one that needs nothing before it, then the patches in their order.

        Empty when it is missing. ``BlobDamaged`` when a file between is missing, or the way has no end.
        """
        way: list[Path] = []
        wanted: int | None = version
        while wanted is not None:
            plain, packed = self.plain(wanted), self.packed(wanted)
            found = plain or packed
            if found is None:
                if not way:
                    return []
                raise BlobDamaged(f"version {wanted}, which version {version} is a patch against, is missing")
            way.append(found)
            if len(way) > STEPS_MAX + 1:
                raise BlobDamaged(f"version {version} is a patch that leads nowhere")
            wanted = None if plain else self.base(wanted)
        return way[::-1]

    def steps(self, version: int) -> int:
        """How many patches against others lie between the version and content that needs none; 0 if it is missing."""
        return max(len(self.way(version)) - 1, 0)

    def layers(self, version: int, opener: Callable[[Path], int] | None = None) -> Layers:
        """How to read the content. As ``way``."""
        way = self.way(version)
        opened = [partial(opener or open_plain_file, path) for path in way]
        if not way:
            return Layers(None)
        return Layers(opened[0], tuple(opened[1:])) if self.is_plain(way[0]) else Layers(None, tuple(opened))

    def dependants(self, version: int) -> list[int]:
        """The versions whose patches are against this one."""
        return [other for other in self.versions if self.base(other) == version]

    def is_plain(self, path: Path) -> bool:
        """Whether a file of ``way`` holds the exact bytes of its version."""
        version = int(path.name.partition("_")[0][1:])
        return self.plain(version) == path


def _names_in(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(directory) if not entry.name.startswith("."))
    except FileNotFoundError:
        return []


def open_plain_file(path: Path) -> int:
    """A descriptor for reading; no link is followed."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def _is_left_over(name: str, names: list[str]) -> bool:
    """Whether it is a patch that nothing speaks of yet: a crash came before."""
    return name.endswith(COMPACTED_SUFFIX) and name.removesuffix(COMPACTED_SUFFIX) in names


def _read_side(path: Path) -> Side | None:
    try:
        found: Any = json.loads(path.read_bytes())
        patch, base = found["patch"], found["base"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not (patch is None or (isinstance(patch, str) and "/" not in patch)):
        return None
    if not (base is None or (type(base) is int and base > 0)):
        return None
    return Side(patch, base)
