"""Old content leaves the data directory of a running system once the backup has it, and can still be downloaded."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from nameko.standalone.rpc import ServiceRpcProxy

from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.files.sweeper import Sweeper
from docsave_services.storage import BlobStore, blob_key
from tests.e2e.accounts import new_account
from tests.support.sweeping import settings_of
from tests.support.system import System
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PROTECTED_SECONDS = 60.0
"""The backup tells how far it is every 30 seconds when nothing happens."""


def test_an_old_version_leaves_the_store_and_stays_in_the_backup(system: System) -> None:
    """Its blob goes, the current one stays, the history keeps its bytes and gives them to who asks."""
    ann = new_account(system.base_url, "ann")
    old_content, content = os.urandom(1000), os.urandom(2000)
    file = ann.save("plan.txt", old_content)
    current = ann.replace(file["id"], content)
    old, new = (system.data_dir / "blobs" / blob_key(one["sha256"]) for one in (file, current))
    for blob in (old, new):
        _age(blob)
    with ServiceRpcProxy("files", {"AMQP_URI": system.amqp_uri}, timeout=20) as files:
        wait_until(lambda: files.sweep()["blobs"], PROTECTED_SECONDS, 0.5)
        before = _entries(system, file)
        wait_until(lambda: files.sweep(dry_run=False) and not old.exists(), 20)
        wait_until(lambda: _removed(system), 20)
        assert files.sweep()["blobs"] == 0
    assert not list((system.data_dir / "blobs").rglob(old.name))
    assert ann.download(file["id"]).content == content
    assert ann.download_version(file["id"], 1).content == old_content
    assert _entries(system, file) == before
    assert [item["version"] for item in ann.versions(file["id"])] == [2, 1]
    again = ann.save("again.txt", old_content)
    assert ann.download(again["id"]).content == old_content
    assert new.exists()


def _age(blob: Path) -> None:
    moment = time.time() - 2 * 24 * 3600
    os.utime(blob, (moment, moment))


def _removed(system: System) -> int:
    """A pass of another process on the same store, with which condemned blobs need not wait for ten minutes."""
    uri = f"sqlite:///{system.data_dir}/docsave.sqlite3"
    database = Transactions(make_engine(uri))
    try:
        sweeper = Sweeper(database, BlobStore(system.data_dir / "blobs"), settings_of(system.data_dir, uri))
        sweeper.condemned_seconds = 0.0
        return int(sweeper.sweep(lambda _: None)["blobs"])
    finally:
        database.engine.dispose()


def _entries(system: System, file: dict[str, Any]) -> list[tuple[str, int, int, bytes]]:
    """The document's entries in the backup: name, inode, time, bytes."""
    directory = system.backup_dir / "history" / str(file["user_id"]) / str(file["id"])
    found = [
        (path.name, path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()
    ]
    return sorted(found)
