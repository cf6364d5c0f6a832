"""The chain's head as it was when it was last found whole, kept away from the backup: in the data directory. Blocking.

Whoever rewrites the history and its chain does not reach this.
"""

from __future__ import annotations

import json
from pathlib import Path

from backup.chain import Head
from docsave_services.storage.durable import make_directories, write_file

HEAD_FILE = "backup-head.json"


def noted_head(data_dir: Path, store_id: str) -> Head | None:
    """The head noted for that store of copies; None when there is none that can be read."""
    try:
        found = json.loads((data_dir / HEAD_FILE).read_bytes())
        if found["store_id"] != store_id:
            return None
        return {"size": int(found["size"]), "root": str(found["root"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_head(data_dir: Path, store_id: str, head: Head) -> None:
    """Keep the head for the next pass."""
    make_directories(data_dir)
    content = {"store_id": store_id, **head}
    write_file(data_dir / HEAD_FILE, (json.dumps(content, indent=2) + "\n").encode())
