"""How much room a directory's disk has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from docsave_services.metrics.registry import Gauge, Reading

FREE = Gauge("docsave_disk_free_bytes", "Room that docsave may use on the disk of a directory.", ("place",))
SIZE = Gauge("docsave_disk_size_bytes", "Size of the disk of a directory.", ("place",))


def disk_readings(place: str, directory: Path) -> Iterator[Reading]:
    """Room and size of the disk of ``directory``. Blocking; ``OSError`` when it is not there."""
    disk = os.statvfs(directory)
    yield Reading(FREE, disk.f_bavail * disk.f_frsize, (place,))
    yield Reading(SIZE, disk.f_blocks * disk.f_frsize, (place,))
