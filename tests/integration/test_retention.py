"""Retention by the backup service itself, holds by RPC and over HTTP, and the operator's command."""

from __future__ import annotations

import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from docsave_services.runtime.environment import ROOT
from tests.support.backup import BackupProcess, StandInFiles
from tests.support.compacting import changed
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
    process = BackupProcess(
        broker.amqp_uri, tmp_path, DOCSAVE_BACKUP_COMPACT_AFTER="0", DOCSAVE_RETENTION="keep-last=2"
    )
    content = random.Random(1).randbytes(200_000)
    for version in range(1, 7):
        journal.add(content, version=version)
        content = changed(content, version)
    process.start()
    process.wait_caught_up(6)
    yield process
    process.kill()
    files.stop()


def _thinned(backup: BackupProcess) -> list[str]:
    return sorted(path.name[:7] for path in backup.root.glob("history/*/7/*.thinned.json"))


def _command(backup: BackupProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = ["--backup-dir", str(backup.root), "--data-dir", str(backup.root.parent / "data")]
    command = [sys.executable, "-W", "ignore", "-m", "backup.retention_command", *places, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_service_keeps_the_rules_and_the_holds(backup: BackupProcess, broker: Broker) -> None:
    """Held first, then thinned, while compaction goes on; the status tells, verify finds nothing missing."""
    held = backup.call("hold", file_id=7, version=1, reason="lawsuit", by=1)
    assert (held["version"], held["user_id"], held["released_at"]) == (1, 3, None)
    assert "4 versions" not in _command(backup, "--dry-run", "--rules", "keep-last=2").stdout
    listed = _command(backup, "--dry-run", "--rules", "keep-last=2")
    assert (listed.returncode, listed.stdout.splitlines()[-1].split(" of ")[0]) == (0, "3 versions")
    backup.call("retain")
    wait_until(lambda: _thinned(backup) == ["v000002", "v000003", "v000004"], 30)
    status = wait_until(lambda: _when_done(backup), 30)
    assert (status["state"], status["thinned"], status["held"] >= 1) == ("on", 3, True)
    report = backup.call("verify", timeout=30)
    assert (report["damaged"], report["missing"]) == ([], [])
    backup.call("release", file_id=7, version=1, by=2)
    assert backup.call("holds")["items"] == []
    backup.kill()
    done = _command(backup, "--rules", "keep-last=2")
    assert (done.returncode, done.stdout.split()[0]) == (0, "1")
    assert _thinned(backup) == ["v000001", "v000002", "v000003", "v000004"]


def _when_done(backup: BackupProcess) -> dict | None:
    status = backup.call("status")["retention"]
    return status if status and status["thinned"] == 3 else None


def test_rules_that_cannot_be_read_are_refused_with_the_reason(tmp_path: Path) -> None:
    """By the command, as by the service at its start."""
    command = [sys.executable, "-W", "ignore", "-m", "backup.retention_command", "--rules", "keep-lsat=3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "'keep-lsat=3' is no rule" in done.stderr
