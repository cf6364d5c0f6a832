"""Compaction by the backup service itself, and versions that lie as patches over HTTP."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.archive import Archive
from tests.support.backup import BackupProcess, StandInFiles
from tests.support.compacting import changed, check_directory
from tests.support.journal import Journal
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "store", epoch=str(uuid.uuid4()))


@pytest.fixture
def backup(broker: Broker, journal: Journal, tmp_path: Path) -> Iterator[BackupProcess]:
    files = StandInFiles(broker.amqp_uri, journal)
    files.start()
    process = BackupProcess(broker.amqp_uri, tmp_path, DOCSAVE_BACKUP_COMPACT_AFTER="0")
    yield process
    process.kill()
    files.stop()


def test_older_versions_become_patches_while_new_ones_come(backup: BackupProcess, journal: Journal) -> None:
    """At once when so set; shown in the status; killed, the next process goes on; verify finds nothing wrong."""
    content, contents = random.Random(1).randbytes(300_000), {}

    def save(first: int, last: int) -> None:
        nonlocal content
        for version in range(first, last + 1):
            journal.add(content, version=version)
            contents[7, version] = content
            content = changed(content, version)

    def packed() -> int:
        return len(list(backup.root.glob("history/*/7/*.patch.json")))

    save(1, 6)
    backup.start()
    backup.wait_caught_up(6)
    wait_until(lambda: packed() >= 2, 30)
    backup.kill()
    backup.start()
    backup.wait_state("active")
    save(7, 12)
    backup.wait_caught_up(12)
    wait_until(lambda: packed() == 11, 30)
    status = wait_until(lambda: (s := backup.call("status")["compaction"])["state"] == "waiting" and s)
    assert (status["after_days"], status["error"], status["unreadable"]) == (0, None, 0)
    assert status["saved_bytes"] > 1_000_000
    check_directory(backup.root, contents)
    told = backup.call("version", file_id=7, version=1)
    assert told["path"].endswith("_report.pdf")
    assert told["patches"][-1].endswith("_report.pdf.zst")
    report = backup.call("verify", timeout=30)
    assert (report["checked"], report["damaged"], report["missing"]) == (12, [], [])


def test_patched_versions_are_downloaded_and_restored_like_others(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, in part, under conditions; restored after the blob was swept; damage is an error."""
    monkeypatch.setenv("DOCSAVE_BACKUP_COMPACT_AFTER", "0")
    archive = Archive(broker, tmp_path)
    try:
        first = random.Random(2).randbytes(2_000_000)
        file = archive.save("plan.bin", first)
        second = changed(first, 1)
        archive.replace(file, second)
        archive.replace(file, changed(second, 2))
        where = f"/files/{file['id']}/versions/1/content"
        directory = archive.entry(file, 1).parent
        wait_until(lambda: [path.suffix for path in directory.glob("v000001_*")] == [".zst"], 30)
        whole = archive.ask("GET", where)
        assert (whole.status_code, whole.content) == (200, first)
        part = archive.ask("GET", where, headers={"Range": "bytes=1000000-1000009"})
        assert (part.status_code, part.content) == (206, first[1_000_000:1_000_010])
        assert archive.ask("GET", where, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
        assert archive.ask("HEAD", where).headers["Content-Length"] == "2000000"
        archive.blob(first).unlink()
        restored = archive.ask("POST", f"/files/{file['id']}/versions/1/restore")
        assert (restored.status_code, restored.json()["version"]) == (200, 4)
        assert archive.blob(first).read_bytes() == first
        wait_until(lambda: archive.copy(file, 2).suffix == ".zst", 30)
        patch = archive.copy(file, 2)
        patch.chmod(0o644)
        patch.write_bytes(b"damaged")
        assert archive.ask("GET", where.replace("versions/1", "versions/2")).json()["code"] == "blob_damaged"
    finally:
        archive.stop()
