"""What the checker is told of the backup directory."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from tests.faults.evidence import read_backups
from tests.support.compacting import Shelf, changed


def test_compacted_versions_are_their_content(tmp_path: Path) -> None:
    """As a patch, or left plain with a note; whatever else lies there is strange."""
    shelf = Shelf(tmp_path)
    first = random.Random(1).randbytes(60_000)
    for version, content in enumerate((first, changed(first, 2), random.Random(3).randbytes(9000), b"last"), 1):
        shelf.save(content, version)
    plain = read_backups(shelf.root)
    shelf.compact()
    assert shelf.packed()
    packed = read_backups(shelf.root)
    assert packed.contents == plain.contents
    assert sorted(packed.contents.values()) == sorted(
        [hashlib.sha256(content).hexdigest()] for content in shelf.contents.values()
    )
    assert packed.strange == []
    (shelf.directory() / "v000004.patch.json").write_text("torn")
    (shelf.directory() / "v000004.thinned.json").write_text("{}")
    assert [Path(name).name for name in read_backups(shelf.root).strange] == [
        "v000004.patch.json",
        "v000004.thinned.json",
    ]
