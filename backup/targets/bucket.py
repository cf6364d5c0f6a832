"""A bucket as a place for the backup. Blocking.

What the directory has, without links and without files that grow: ``objects/`` holds each content once, ``history/``
the entries' JSON and tombstones, ``chain/entries/<first>`` lines as in ``chain/entries.log``, each object beginning
after the last of the one before. Only ``state/``, ``accounts/`` and ``holds/`` are ever replaced, and the marker after
a rebuild.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from backup.chain import leaf
from backup.chain_log import LINE_BYTES, Line
from backup.content import never
from backup.errors import EntryConflict
from backup.history import HISTORY, OBJECTS
from backup.names import json_name, thinned_name
from backup.progress import CURSOR_FILE
from backup.targets.bucket_store import BucketStore
from backup.targets.item import Item, event_of
from backup.targets.target import BESIDE, REFUSED, Record, TargetAway, check_mark
from docsave_services.contracts import BACKUP_MARKER
from docsave_services.errors import BlobDamaged
from docsave_services.settings import BucketSettings
from docsave_services.storage import blob_key

SEGMENTS = "chain/entries"


class BucketTarget:
    """See ``Target``. ``scratch`` is a directory for content that has to be unpacked before it is sent."""

    name = "bucket"

    def __init__(self, settings: BucketSettings, data_dir: Path, scratch: Path) -> None:
        self.store = BucketStore(settings)
        self._record = Record(data_dir / "backup-bucket.json", f"{settings.endpoint} {settings.url}")
        self._scratch = scratch
        self._place = 0
        self._md5s: dict[str, str] | None = None

    def open(self, marker: bytes) -> Line | None:
        check_mark(self.store.get(BACKUP_MARKER), marker, self._record, self.store.is_empty)
        self._md5s = None
        lines: list[Line] = []
        for segment in segments(self.store, self._noted_segment()):
            lines = segment
        self._place = lines[-1].event_id if lines else 0
        return lines[-1] if lines else None

    def adopt(self, marker: bytes) -> None:
        found = self.store.get(BACKUP_MARKER)
        if found is None and self.store.create(BACKUP_MARKER, marker) != marker:
            raise TargetAway(REFUSED, "another docsave has just marked the bucket")
        if found not in (None, marker):
            self.store.replace(BACKUP_MARKER, marker)
        self._record.keep(json.loads(marker)["store_id"])

    def write(self, item: Item, cancelled: Callable[[], bool] = never) -> None:
        where = f"{HISTORY}/{item.event['user_id']}/{item.event['id']}"
        version = item.event["version"]
        if item.tombstone is not None:
            self.store.create(f"{where}/{thinned_name(version)}", item.tombstone)
        if item.has_content:
            key = f"{OBJECTS}/{blob_key(item.event['sha256'])}"
            fd = item.open(self._scratch)
            self.store.create_content(key, fd, item.event["sha256"], item.event["size"], cancelled)
        found = self.store.create(f"{where}/{json_name(version)}", item.text)
        if found != item.text and _leaf_of(found) != item.line.leaf:
            raise EntryConflict(f"version {version} is another entry in the bucket")

    def append(self, lines: Sequence[Line]) -> None:
        first = lines[0].event_id
        if first != self._place + 1:
            raise ValueError("the chain has no holes")
        text = b"".join(line.text for line in lines)
        if self.store.create(_segment_key(first), text) != text:
            raise TargetAway(REFUSED, "another process has just written to the bucket")
        place = {"copied": lines[-1].event_id, "segment": first}
        self.store.replace(CURSOR_FILE.as_posix(), (json.dumps(place) + "\n").encode())
        self._place = lines[-1].event_id

    def keep_beside(self, name: str, text: bytes) -> None:
        if self._md5s is None:
            self._md5s = {key: tag for prefix in BESIDE for key, tag in self.store.etags(prefix).items()}
        tag = hashlib.md5(text, usedforsecurity=False).hexdigest()
        if self._md5s.get(name) != tag:
            self.store.replace(name, text)
            self._md5s[name] = tag

    def close(self) -> None:
        """Nothing is held: two that write do the same, and what is there is never replaced."""

    def _noted_segment(self) -> int:
        try:
            found: Any = json.loads(self.store.get(CURSOR_FILE.as_posix()) or b"{}")
            return max(int(found.get("segment", 1)), 1)
        except (ValueError, TypeError, AttributeError):
            return 1


def segments(store: BucketStore, first: int = 1) -> Iterator[list[Line]]:
    """The chain from the object that begins with the entry ``first``, an object at a time. ``TargetAway`` for one that
    is damaged."""
    while text := store.get(_segment_key(first)):
        lines = [Line.parse(text[start : start + LINE_BYTES]) for start in range(0, len(text), LINE_BYTES)]
        sound = [line for line in lines if line is not None]
        if [line.event_id for line in sound] != list(range(first, first + len(lines))):
            raise TargetAway(REFUSED, f"{_segment_key(first)} in the bucket is damaged")
        yield sound
        first += len(sound)


def fetched_item(store: BucketStore, line: Line) -> Item:
    """The entry in the bucket; ``BlobDamaged`` when it is missing, or not the one in the chain."""
    where = f"{HISTORY}/{line.user_id}/{line.file_id}"
    text = store.get(f"{where}/{json_name(line.version)}")
    if text is None:
        raise BlobDamaged("The entry is missing")
    event = event_of(line, text)
    tombstone = store.get(f"{where}/{thinned_name(line.version)}")

    def fetch(scratch: Path) -> int:
        with tempfile.TemporaryFile(buffering=0, dir=scratch) as file:
            try:
                for piece in store.stream(f"{OBJECTS}/{blob_key(event['sha256'])}"):
                    left = memoryview(piece)
                    while left:
                        left = left[file.write(left) :]
            except FileNotFoundError as exc:
                raise BlobDamaged("The content is missing") from exc
            file.seek(0)
            return os.dup(file.fileno())

    return Item(line, event, text, tombstone, fetch)


def _segment_key(first: int) -> str:
    return f"{SEGMENTS}/{first:019d}"


def _leaf_of(text: bytes) -> bytes | None:
    try:
        return leaf(json.loads(text))
    except (ValueError, AttributeError):
        return None
