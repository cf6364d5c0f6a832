"""How many blobs there are and how large they are together, a part of the store at each look."""

from __future__ import annotations

import os
import time
from pathlib import Path

PARTS = tuple(f"{number:02x}" for number in range(256))
LOOK_SECONDS = 0.05
"""A look takes this long and one part of the 256; a store of ten million blobs is counted once in half an hour."""


class BlobCensus:
    """Counts part after part, over and over. Blocking; for one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._counted: dict[str, tuple[int, int]] = {}
        self._next = 0

    def look(self) -> tuple[int, int] | None:
        """Count some more; blobs and bytes in all, None until each part was counted once."""
        end = time.monotonic() + LOOK_SECONDS
        for _ in PARTS:
            part = PARTS[self._next]
            self._counted[part] = _count(self._root / part)
            self._next = (self._next + 1) % len(PARTS)
            if time.monotonic() > end:
                break
        if len(self._counted) < len(PARTS):
            return None
        return sum(c for c, _ in self._counted.values()), sum(s for _, s in self._counted.values())


def _count(part: Path) -> tuple[int, int]:
    count = size = 0
    try:
        with os.scandir(part) as directories:
            for directory in directories:
                with os.scandir(directory.path) as blobs:
                    for blob in blobs:
                        size += blob.stat().st_size
                        count += 1
    except FileNotFoundError:
        pass  # nothing there yet, or swept meanwhile: the next round counts anew
    return count, size
