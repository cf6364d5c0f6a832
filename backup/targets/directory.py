"""A second directory, on another disk or machine: the same layout, everything plain. Blocking."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from backup.chain_log import ChainWriter, Line
from backup.content import forget_cached, holds, never
from backup.errors import EntryConflict
from backup.history import History
from backup.home import LOCK, MARKER, Home, Lock, Seal
from backup.layout import Layout
from backup.names import thinned_name
from backup.progress import Place, write_place, written_place
from backup.targets.item import Item
from backup.targets.target import REFUSED, Record, TargetAway, check_mark
from docsave_services.errors import BlobDamaged, BlobMissing
from docsave_services.storage.durable import is_left_behind, make_directories, write_file

STANDBY = "standby"
_NOT_CONTENT = frozenset({"lost+found"})


class LentContents:
    """Gives ``History`` the content of the entries that are being written."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._lent: dict[str, Item] = {}
        self._lock = threading.Lock()

    def lend(self, item: Item) -> None:
        """Its content can be opened from now on."""
        with self._lock:
            self._lent[item.event["path"]] = item

    def take_back(self, item: Item) -> None:
        """Its content is not needed any more."""
        with self._lock:
            self._lent.pop(item.event["path"], None)

    def open(self, key: str) -> int:
        """As ``BlobStore.open``."""
        with self._lock:
            item = self._lent.get(key)
        if item is None:
            raise BlobMissing
        return item.open(self._scratch)


class Copies:
    """Writes entries under ``root``, as the backup itself does; content is read back from the disk."""

    def __init__(self, root: Path, check: Callable[[], None] = lambda: None) -> None:
        self._root = root
        self._check = check
        self._contents = LentContents(root)
        self._history = History(root, self._contents, check)

    def write(self, item: Item, cancelled: Callable[[], bool] = never) -> None:
        """As ``Target.write``."""
        event = item.event
        directory = self._history.directory_for(event)
        if item.tombstone is not None:
            self._keep_tombstone(directory / thinned_name(event["version"]), item.tombstone)
        self._contents.lend(item)
        try:
            written = self._history.write(event, cancelled)
        finally:
            self._contents.take_back(item)
        if written.leaf != item.line.leaf:
            raise EntryConflict(f"version {event['version']} is another entry there")
        if item.has_content:
            self._prove(directory, item, cancelled)

    def sweep(self, cancelled: Callable[[], bool] = never) -> None:
        """Remove what killed processes left half written."""
        self._history.sweep(cancelled)

    def _keep_tombstone(self, path: Path, text: bytes) -> None:
        self._check()
        make_directories(path.parent)
        if not path.exists():
            write_file(path, text, 0o444)

    def _prove(self, directory: Path, item: Item, cancelled: Callable[[], bool]) -> None:
        """Read what was written, from where it lies now; a server may have taken other bytes than it was sent."""
        plain = Layout(directory).plain(item.event["version"])
        if plain is None:
            return  # a patch, of a time in which this was the backup itself: `History` has unpacked it
        with io.FileIO(plain) as reader:
            forget_cached(reader.fileno())
            if not holds(reader, item.event["sha256"], item.event["size"], cancelled):
                raise BlobDamaged("What was read back is not what was written")


class DirectoryTarget:
    """``root``, which must exist, recorded in ``data_dir``. See ``Target``."""

    name = "mirror"

    def __init__(self, root: Path, data_dir: Path) -> None:
        self.root = root
        self._home = Home(root, data_dir)
        self._record = Record(data_dir / "backup-mirror.json", str(root))
        self._lock: Lock | None = None
        self._epoch = ""

    def open(self, marker: bytes) -> Line | None:
        if not self.root.is_dir():
            raise TargetAway(REFUSED, "the directory is not there; is its disk mounted?")
        check_mark(self._found(), marker, self._record, self._is_empty)
        self._lock = self._home.lock()
        if self._lock is None:
            raise TargetAway(STANDBY, "another process holds the directory")
        if self._found() is None:
            write_file(self.root / MARKER, marker, 0o444)
        self._seal: Seal = self._home.seal()
        self._copies = Copies(self.root, self._seal)
        self._copies.sweep()
        found = self._home.read_marker()
        vouched = written_place(self.root, found.epoch).copied if found else 0
        self._chain = ChainWriter(self.root, vouched)
        if self._chain.size > 0 and self._chain.view.line(self._chain.size) is None:
            raise TargetAway(
                REFUSED, "the chain there is damaged; move its directory chain/ away to have it made again"
            )
        return self._chain.view.line(self._chain.size) if self._chain.size else None

    def adopt(self, marker: bytes) -> None:
        if self._found() != marker:
            write_file(self.root / MARKER, marker, 0o444)
            self._seal = self._home.seal()
            self._copies = Copies(self.root, self._seal)
        found = self._home.read_marker()
        if found is None:
            raise TargetAway(REFUSED, f"the marker {MARKER} is gone from there")
        self._record.keep(found.store_id)
        self._epoch = found.epoch

    def write(self, item: Item, cancelled: Callable[[], bool] = never) -> None:
        self._copies.write(item, cancelled)

    def append(self, lines: Sequence[Line]) -> None:
        self._seal()
        self._chain.append(lines)
        write_place(self.root, self._epoch, Place(self._chain.size, self._chain.size))

    def keep_beside(self, name: str, text: bytes) -> None:
        self._seal()
        keep_beside(self.root, name, text)

    def close(self) -> None:
        if self._lock:
            self._lock.release()
            self._lock = None

    def _found(self) -> bytes | None:
        try:
            return (self.root / MARKER).read_bytes()
        except FileNotFoundError:
            return None

    def _is_empty(self) -> bool:
        names = (path.name for path in self.root.iterdir())
        return all(name in _NOT_CONTENT or name == LOCK or is_left_behind(name) for name in names)


def keep_beside(root: Path, name: str, text: bytes) -> None:
    """Have the file ``name`` with this text below ``root``."""
    path = root / name
    make_directories(path.parent)
    if not path.exists() or path.read_bytes() != text:
        write_file(path, text)
