"""A sweeper with a clock that the test moves, over the database and the store of ``Documents``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from eventlet import tpool

from docsave_services.contracts import FileEvent
from docsave_services.db import journal
from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.files.protection import remember_progress
from docsave_services.files.sweeper import Sweeper
from docsave_services.settings import Settings
from docsave_services.storage import BlobStore
from tests.support.crashing import Countdown
from tests.support.documents import Documents

DAYS = 24 * 3600.0


class Sweeping:
    """``sweep`` is one pass; ``wait`` lets the condemned blobs' time pass."""

    def __init__(self, documents: Documents, **settings: Any) -> None:
        self.documents = documents
        self.store = documents.store
        self.settings = settings_of(documents.store.root.parent, documents.db_uri, **settings)
        self.time = 0.0
        self.events: list[FileEvent] = []
        self.restart()

    def restart(self) -> None:
        """Another process: it knows nothing of what this one remembered."""
        self.sweeper = Sweeper(self.documents.db, self.store, self.settings, clock=lambda: self.time)

    def sweep(self) -> dict[str, Any]:
        """One pass."""
        return self.sweeper.sweep(self.events.extend)

    def wait(self) -> None:
        """Let as much time pass as condemned blobs must wait."""
        self.time += self.sweeper.condemned_seconds

    def sweep_all(self) -> None:
        """Passes until nothing is left to do."""
        for _ in range(3):
            self.sweep()
            self.wait()
        assert not list(self.store.condemned.iterdir())

    def backup_reports(self, event_id: int | None = None) -> None:
        """The backup says that it has everything up to that entry, or up to the newest."""
        head = self.documents.db.read(journal.head)
        through = f"{head.epoch}:{head.event_id if event_id is None else event_id}"
        self.documents.db.write(lambda s: remember_progress(s, through))

    def age(self, key: str, seconds: float = 2 * DAYS) -> None:
        """As if nobody had relied on the blob for so long."""
        moment = time.time() - seconds
        os.utime(self.path(key), (moment, moment))

    def path(self, key: str) -> Path:
        """The blob's place."""
        return self.store.root / key

    def idle_blob(self, content: bytes) -> str:
        """The key of content that was saved two days ago and that no row names."""
        key = self.documents.blob(content)
        self.age(key)
        return key

    def is_whole(self, key: str) -> bool:
        """Whether the blob is in its place, with the content of its name."""
        return self.path(key).exists() and bool(list(self.store.read_verified(key)))


def settings_of(data_dir: Path, db_uri: str, **changed: Any) -> Settings:
    """Settings for a sweeper of that data directory and database."""
    known: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "notifier_port": 0,
        "data_dir": data_dir,
        "backup_dir": data_dir / "backups",
        "db_uri": db_uri,
        "registration": "open",
        "max_file_bytes": 1,
        "cors_origins": ("*",),
        "body_timeout_seconds": 30.0,
        "admin_login": "",
        "admin_password": "",
        "secret_key": "",
    }
    return Settings(**{**known, **changed})


def sweeper_of(directory: Path) -> Sweeper:
    """A sweeper for the blobs and the database in ``directory``, with whom condemned blobs do not wait."""
    uri = f"sqlite:///{directory}/docsave.sqlite3"
    sweeper = Sweeper(Transactions(make_engine(uri)), BlobStore(directory / "blobs"), settings_of(directory, uri))
    sweeper.condemned_seconds = 0.0
    return sweeper


def sweep_until_killed(directory: Path, countdown: Countdown) -> None:
    """One pass for ``kill_at_each_step``."""
    sweeper = sweeper_of(directory)
    tpool.execute = lambda function, *args, **kwargs: function(*args, **kwargs)
    countdown.arm()
    sweeper.sweep(lambda _: None)
