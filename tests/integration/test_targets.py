"""More places for the backup: a second directory and a bucket of a real server that speaks S3."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.accounts import write_accounts
from backup.fetch import Fetch
from backup.fetch_command import main as fetch_main
from backup.holds import Holds
from backup.targets.bucket_store import BucketStore
from backup.verify import Verification
from backup.verify_command import main as verify_main
from docsave_services.settings import BucketSettings
from docsave_services.storage import blob_key
from tests.integration.test_backup import assert_complete, fill
from tests.support.backup import BackupProcess, StandInFiles
from tests.support.bucket import SECRET, S3Server, settings_of
from tests.support.cutting_proxy import CuttingProxy
from tests.support.journal import Journal
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "store", epoch=str(uuid.uuid4()))


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    directory = tmp_path / "mirror"
    directory.mkdir()
    return directory


Start = Callable[..., BackupProcess]


@pytest.fixture
def start(broker: Broker, journal: Journal, tmp_path: Path) -> Iterator[Start]:
    """Starts a backup process with these settings; all end with the test."""
    files = StandInFiles(broker.amqp_uri, journal)
    files.start()
    started: list[BackupProcess] = []

    def start(**settings: str) -> BackupProcess:
        started.append(BackupProcess(broker.amqp_uri, tmp_path, len(started), **settings))
        started[-1].start()
        return started[-1]

    yield start
    for process in started:
        process.kill()
    files.stop()


def target(backup: BackupProcess, name: str) -> dict[str, Any]:
    """What the status says of a target."""
    status: dict[str, Any] = backup.call("status")["targets"][name]
    return status


def wait_copied(backup: BackupProcess, name: str, count: int) -> dict[str, Any]:
    """Until so many entries are safe in the target."""
    return wait_until(lambda: (s := target(backup, name))["copied"] == count and s, 40, 0.1) or {}


def wait_state(backup: BackupProcess, name: str, state: str) -> dict[str, Any]:
    """Until the target is in that state."""
    return wait_until(lambda: (s := target(backup, name))["state"] == state and s, 40, 0.1) or {}


def fetch(bucket: BucketSettings, root: Path) -> list[str]:
    """Fetch the bucket; what could not be fetched."""
    return Fetch(BucketStore(bucket), root).run().problems


def assert_same(one: Path, other: Path) -> None:
    """Both hold the same history, chain and accounts, byte for byte."""

    def content(root: Path) -> dict[str, bytes]:
        parts = ("history", "objects", "chain", "accounts", "docsave-backup.json")
        found = [path for part in parts for path in [root / part, *(root / part).rglob("*")] if path.is_file()]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}

    assert content(one) == content(other)


def test_both_get_everything_and_can_stand_in_for_the_directory(
    start: Start, s3: S3Server, journal: Journal, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and new versions, deletions, equal content once, accounts; the bucket can be fetched with the command."""
    bucket = s3.bucket()
    fill(journal, 30)
    large = random.Random(5).randbytes(20_000_001)
    journal.add(large, file_id=99, user_id=1)
    backup = start(DOCSAVE_BACKUP_MIRROR_DIR=str(mirror), **settings_of(bucket))
    account = {"id": 1, "login": "ann", "name": "é", "role": "user", "created_at": "", "updated_at": "", "active": True}
    backup.wait_caught_up(31)
    write_accounts(backup.root, [{**account, "quota_bytes": None}])  # type: ignore[list-item]
    fill(journal, 10)
    for name in ("mirror", "bucket"):
        status = wait_copied(backup, name, 41)
        assert (status["state"], status["lag_entries"], status["failing"]) == ("active", 0, [])
    Holds(backup.root).place(3, 7, 1, "lawsuit", 1)
    for name in ("accounts/1.json", "holds/7.json"):
        wait_until(lambda name=name: (mirror / name).exists() and name in s3.objects(bucket), 20)
    backup.kill()

    assert_complete(mirror, journal)
    assert_same(mirror, backup.root)
    assert verify_main(["--backup-dir", str(mirror), "--data-dir", str(backup.data)]) == 0
    contents = [key for key in s3.objects(bucket) if key.startswith("objects/")]
    assert len(contents) == len({e["sha256"] for e in journal.events if e["type"] != "File_delete"})

    fetched = tmp_path / "fetched"
    for name, value in settings_of(bucket).items():
        monkeypatch.setenv(name, value)
    assert fetch_main(["--to", str(fetched)]) == 0
    assert_same(fetched, backup.root)
    assert fetch_main(["--to", str(fetched)]) == 2  # it is whole, and nothing is written over it


def test_a_target_that_is_down_delays_nobody_and_catches_up(
    start: Start, s3: S3Server, journal: Journal, mirror: Path
) -> None:
    """The other target and the directory go on; what the pauses are about is in the status; nothing is dropped."""
    proxy = CuttingProxy(s3.url)
    proxy.refusing = True
    bucket = s3.bucket(proxy.url)
    fill(journal, 20)
    backup = start(DOCSAVE_BACKUP_MIRROR_DIR=str(mirror), **settings_of(bucket))
    backup.wait_caught_up(20)
    wait_copied(backup, "mirror", 20)
    assert wait_state(backup, "bucket", "unreachable")["reason"] == "the bucket does not work: no answer"
    mirror.rename(mirror.with_name("unmounted"))
    mirror.mkdir()
    fill(journal, 10)
    backup.wait_caught_up(30)
    assert "is gone" in wait_state(backup, "mirror", "refused")["reason"]
    assert list(mirror.iterdir()) == []
    assert backup.call("health") == {"directory": "ok"}
    mirror.rmdir()
    mirror.with_name("unmounted").rename(mirror)
    proxy.refusing = False
    for name in ("mirror", "bucket"):
        assert wait_copied(backup, name, 30)["state"] == "active"
    assert_complete(mirror, journal)
    proxy.close()


def test_kills_in_the_middle_lose_and_double_nothing(
    start: Start, s3: S3Server, journal: Journal, mirror: Path, tmp_path: Path
) -> None:
    """The next process goes on from what each target has."""
    bucket, rng = s3.bucket(), random.Random(7)
    for number in range(3):
        fill(journal, 20)
        backup = start(DOCSAVE_BACKUP_MIRROR_DIR=str(mirror), **settings_of(bucket))
        least = rng.randint(1, 19) + 20 * number
        wait_until(lambda: len(list(mirror.glob("history/*/*/v*.json"))) >= least, 30, 0.005)  # noqa: B023
        backup.kill()
    backup = start(DOCSAVE_BACKUP_MIRROR_DIR=str(mirror), **settings_of(bucket))
    for name in ("mirror", "bucket"):
        wait_copied(backup, name, 60)
    backup.kill()
    assert_complete(mirror, journal)
    assert fetch(bucket, tmp_path / "fetched") == []
    assert_same(tmp_path / "fetched", backup.root)


def test_credentials_that_are_refused_are_told_without_them(start: Start, s3: S3Server, journal: Journal) -> None:
    """The status and the log say what is wrong, never the secret; with the right ones it goes on by itself."""
    bucket = s3.bucket()
    fill(journal, 3)
    s3.forbid()
    try:
        backup = start(**settings_of(bucket))
        status = wait_state(backup, "bucket", "refused")
        assert status["reason"] == "the bucket refuses these credentials"
        assert status["copied"] is None
        backup.wait_caught_up(3)
    finally:
        s3.allow()
    wait_copied(backup, "bucket", 3)
    assert SECRET not in backup.output() + json.dumps(backup.call("status"))


def test_a_bucket_that_is_not_ours_or_was_emptied_is_refused(start: Start, s3: S3Server, journal: Journal) -> None:
    """Neither is filled as if nothing had been there."""
    bucket = s3.bucket()
    s3.put(bucket, "somebody/elses.txt", b"x")
    fill(journal, 3)
    backup = start(**settings_of(bucket))
    assert "not empty" in wait_state(backup, "bucket", "refused")["reason"]
    s3.put(bucket, "somebody/elses.txt", None)
    wait_copied(backup, "bucket", 3)
    backup.kill()
    for key in s3.objects(bucket):
        s3.put(bucket, key, None)
    backup = start(**settings_of(bucket))
    assert "is gone" in wait_state(backup, "bucket", "refused")["reason"]
    assert s3.objects(bucket) == {}


def test_what_is_damaged_is_named_and_nothing_is_overwritten(
    start: Start, s3: S3Server, journal: Journal, mirror: Path, tmp_path: Path
) -> None:
    """A damaged original waits for its repair and holds up no other; other bytes in a target stay, and are told."""
    bucket = s3.bucket()
    events = fill(journal, 12, files_count=100)
    damaged, taken = [e for e in events if e["type"] != "File_delete" and e["size"] == 3000][:2]
    backup = start()
    backup.wait_caught_up(12)
    backup.kill()
    [copy] = backup.root.glob(f"history/*/{damaged['id']}/v*_*")
    whole = copy.read_bytes()
    copy.chmod(0o644)
    copy.write_bytes(b"damaged")
    s3.put(bucket, f"objects/{blob_key(taken['sha256'])}", b"something else")
    s3.put(bucket, "docsave-backup.json", (backup.root / "docsave-backup.json").read_bytes())
    backup = start(DOCSAVE_BACKUP_MIRROR_DIR=str(mirror), **settings_of(bucket))
    failing = wait_until(lambda: (f := target(backup, "bucket")["failing"]) and len(f) == 2 and f, 30, 0.1) or []
    errors = {one["event_id"]: one["error"].partition(":")[0] for one in failing}
    assert errors == {damaged["event_id"]: "blob_damaged", taken["event_id"]: "entry_conflict"}
    wait_until(lambda: len(list(mirror.glob("history/*/*/v*.json"))) == 11, 30)
    assert target(backup, "mirror")["copied"] == damaged["event_id"] - 1
    assert s3.objects(bucket)[f"objects/{blob_key(taken['sha256'])}"] == b"something else"
    copy.write_bytes(whole)
    wait_copied(backup, "mirror", 12)
    s3.put(bucket, f"objects/{blob_key(taken['sha256'])}", None)
    wait_copied(backup, "bucket", 12)
    backup.kill()
    s3.put(bucket, f"objects/{blob_key(taken['sha256'])}", b"rotten")
    [problem] = fetch(bucket, tmp_path / "fetched")
    assert problem.startswith(f"file {taken['id']} v000001: blob_damaged")
    report = Verification(tmp_path / "fetched", copied=12).run()
    assert [(f["file_id"], f["version"]) for f in report["missing"]] == [(taken["id"], 1)]
