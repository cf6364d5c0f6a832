"""Rebuilding docsave from its backup directory alone: an empty database and an empty blob store are filled (ADR 015).

Content first, then the database in one transaction, and last the directory's marker, which from then on belongs to the
new journal. Killed anywhere, it goes on when it is started again. Blocking; no service may run meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backup.accounts import read_accounts
from backup.chain_log import ChainView
from backup.content import set_aside
from backup.errors import Refused, describe
from backup.holds import HOLDS, Holds
from backup.home import MARKER, REFUSING, Home, Marker
from backup.progress import Place, read_place, write_place
from backup.rebuild_survey import FileHistory, Survey
from backup.restore_choice import check_root, sources_of
from docsave_services.contracts import FileEvent, Hold
from docsave_services.errors import BlobDamaged, BlobMissing
from docsave_services.runtime.refounding import Foundation, Founded, Ground
from docsave_services.storage import BlobStore, blob_key
from docsave_services.storage.durable import make_directories, write_file
from docsave_services.storage.reading import verified_pieces
from docsave_services.times import now, to_text

UNFINISHED = "rebuilding.json"
"""In the data directory while a rebuild is under way: the epoch that the new journal gets."""

_DATABASE_USED = "the database is not empty"

Tick = Callable[[], None]


class NotEmpty(Exception):
    """There is something where docsave was to be rebuilt."""


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild did, and what it had to leave out. ``contents`` counts blobs that were copied."""

    epoch: str = ""
    last: int = 0
    contents: int = 0
    bytes: int = 0
    founded: Founded = field(default_factory=Founded)
    problems: list[str] = field(default_factory=list)


class Filler:
    """Fills ``ground`` and ``store`` from the backup directory ``root``, up to the event ``through`` (None: all)."""

    def __init__(self, root: Path, ground: Ground, store: BlobStore, through: int | None = None) -> None:
        self._root = root
        self._ground = ground
        self._store = store
        self.survey = Survey(root, through)
        self.rebuilt = Rebuilt()

    def bring_content(self, tick: Tick) -> None:
        """The content of every file, also in the trash, into the store. Earlier versions stay where they are."""
        self._store.prepare()
        self.survey.run(self._bring, tick)
        self.rebuilt.problems += self.survey.problems

    def found(self, epoch: str, last: int = 0) -> None:
        """Fill the database. ``last`` is an event that the journal went up to, whether its entry is there or not."""
        rebuilt, survey = self.rebuilt, self.survey
        accounts, bad = read_accounts(self._root)
        rebuilt.problems += [f"{path}: the account cannot be read" for path in bad]
        if last > survey.last:
            rebuilt.problems.append(f"events {survey.last + 1} to {last} of the journal have no entry")
        rebuilt.epoch, rebuilt.last = epoch, max(last, survey.last)
        user_id_max = max([survey.user_id_max, *accounts])
        holds = self._holds()
        rebuilt.founded = self._ground.found(
            Foundation(epoch, accounts, survey.histories, rebuilt.last, survey.file_id_max, user_id_max, holds)
        )
        rebuilt.problems += [f"the login of user {user_id} is not known" for user_id in rebuilt.founded.nameless]

    def _holds(self) -> list[Hold]:
        """The holds in force. One that cannot be read is named; its copies are kept all the same (``Holds.held``)."""
        holds, bad = Holds(self._root).readable()
        self.rebuilt.problems += [f"{HOLDS}/{file_id}.json: the holds cannot be read" for file_id in bad]
        return holds

    def _bring(self, history: FileHistory) -> None:
        event = history.newest
        try:
            if not self._is_there(event):
                self._copy(history, event)
        except (BlobMissing, BlobDamaged, OSError) as exc:
            where = f"{history.directory.relative_to(self._root)} {event['name']!r}"
            self.rebuilt.problems.append(f"{where}: the content is lost: {describe(exc)}")

    def _is_there(self, event: FileEvent) -> bool:
        with contextlib.suppress(BlobMissing):
            return self._store.reuse(blob_key(event["sha256"])) == event["size"]
        return False

    def _copy(self, history: FileHistory, event: FileEvent) -> None:
        problem: Exception = BlobMissing("neither a copy nor its object is there")
        for source in (s for entry in history.with_newest_content() for s in sources_of(self._root, entry)):
            try:
                self._store_content(source.open, event)
            except (BlobDamaged, OSError) as exc:
                problem = exc
            else:
                self.rebuilt.contents += 1
                self.rebuilt.bytes += event["size"]
                return
        raise problem

    def _store_content(self, open_source: Callable[[], int], event: FileEvent) -> None:
        staged = self._store.stage()
        try:
            for piece in verified_pieces(open_source, event["sha256"], event["size"]):
                staged.write(piece)
            staged.commit()
        finally:
            staged.discard()


class Rebuild:
    """The whole of it: ``root`` becomes the backup of the new system in ``data_dir``."""

    def __init__(self, root: Path, data_dir: Path, ground: Ground) -> None:
        self._root = root
        self._data_dir = data_dir
        self._ground = ground
        self._home = Home(root, data_dir)
        self._store = BlobStore(data_dir / "blobs")
        self._unfinished = data_dir / UNFINISHED

    def run(self, tick: Tick) -> Rebuilt:
        """Rebuild, or go on with a rebuild that was interrupted. ``NotEmpty``, ``Refused``, ``NoBackup``."""
        check_root(self._root)
        lock = self._home.lock()
        if lock is None:
            raise Refused(REFUSING, "a backup service is writing to this directory: stop it first")
        with contextlib.ExitStack() as held:
            held.callback(lock.release)
            marker = self._home.require_marker()
            epoch = self._begin(marker.store_id)
            head = self._ground.head()
            is_filled = head.epoch == epoch  # killed between the database and the marker
            rebuilt = Rebuilt(epoch, head.event_id) if is_filled else self._fill(epoch, marker, tick)
            self._adopt(epoch, rebuilt.last)
        return rebuilt

    def _fill(self, epoch: str, marker: Marker, tick: Tick) -> Rebuilt:
        filler = Filler(self._root, self._ground, self._store)
        filler.bring_content(tick)
        for path in filler.survey.unfinished:
            set_aside(path, self._root)
        # No number that the old journal is known to have given is given again.
        filler.found(epoch, max(read_place(self._root, marker.epoch).copied, ChainView(self._root).size()))
        return filler.rebuilt

    def _begin(self, store_id: str) -> str:
        """The epoch of the new journal: a new one, or that of the rebuild to go on with."""
        make_directories(self._data_dir)
        begun = self._begun(store_id)
        if begun is not None:
            if not self._ground.is_empty() and self._ground.head().epoch != begun:
                raise NotEmpty(_DATABASE_USED)
            return begun
        if not self._ground.is_empty():
            raise NotEmpty(f"{_DATABASE_USED}; give an empty one (a start of docsave makes an administrator in it)")
        if any(self._store.root.glob("??/??/*")):
            raise NotEmpty(f"{self._store.root} is not empty; give an empty data directory")
        epoch = str(uuid.uuid4())
        write_file(self._unfinished, _pretty({"epoch": epoch, "store_id": store_id}))
        return epoch

    def _begun(self, store_id: str) -> str | None:
        try:
            found: Any = json.loads(self._unfinished.read_bytes())
            epoch, of_store = str(found["epoch"]), str(found["store_id"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as exc:
            raise NotEmpty(f"{self._unfinished} cannot be read; begin with an empty data directory") from exc
        if of_store != store_id:
            raise NotEmpty("a rebuild from another backup directory was begun here")
        return epoch

    def _adopt(self, epoch: str, last: int) -> None:
        """The directory is the new journal's from here on. The place comes first: the marker is what counts."""
        write_place(self._root, epoch, Place(last, last))
        path = self._root / MARKER
        found: dict[str, Any] = json.loads(path.read_bytes())
        if found["epoch"] != epoch:
            before = {"epoch": found["epoch"], "through": last, "rebuilt_at": to_text(now())}
            found = {**found, "epoch": epoch, "earlier": [before, *found.get("earlier", [])]}
            write_file(path, _pretty(found), 0o444)
        self._home.adopt(self._home.require_marker())
        self._unfinished.unlink(missing_ok=True)


def _pretty(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
