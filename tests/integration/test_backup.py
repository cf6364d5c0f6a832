"""The backup service as a process, with a real broker, real files, and a journal that is a list."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup.catalogue import versions_of
from backup.chain_log import ChainView
from backup.verify import Verification, absent
from docsave_services.contracts import FileEvent
from docsave_services.errors import InvalidInput, NotFound, Unavailable
from tests.support.backup import BackupProcess, StandInFiles
from tests.support.journal import Journal
from tests.support.programs import ROOT
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "store", epoch=str(uuid.uuid4()))


@pytest.fixture
def files(broker: Broker, journal: Journal) -> Iterator[StandInFiles]:
    service = StandInFiles(broker.amqp_uri, journal)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def start_backup(broker: Broker, tmp_path: Path) -> Iterator[Callable[[], BackupProcess]]:
    """Starts a backup process; all end with the test, however it ends."""
    started: list[BackupProcess] = []

    def start() -> BackupProcess:
        process = BackupProcess(broker.amqp_uri, tmp_path, len(started))
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()


def fill(journal: Journal, count: int, files_count: int = 20) -> list[FileEvent]:
    """``count`` more events: files created, changed and deleted, some with equal content."""
    seeded = random.Random(len(journal.events))
    versions = {event["id"]: event["version"] for event in journal.events}
    added = []
    for _ in range(count):
        file_id = seeded.randint(1, files_count)
        versions[file_id] = versions.get(file_id, 0) + 1
        content = None if seeded.random() < 0.1 else seeded.choice([b"same", seeded.randbytes(3000)])
        name = seeded.choice(["a.pdf", "CON", "é" * 255])
        added.append(journal.add(content, file_id=file_id, version=versions[file_id], name=name, user_id=file_id % 3))
    return added


def take_away(journal: Journal, event: FileEvent) -> Callable[[], object]:
    """Let the event's content be missing in the blob store; what is returned puts it back."""
    blob = journal.blob_path(event)
    aside = blob.rename(blob.with_name("aside"))
    return lambda: aside.rename(blob)


def assert_complete(root: Path, journal: Journal) -> None:
    """Every event has exactly one whole entry, and there is nothing else."""
    expected: dict[int, list[int]] = {}
    for event in journal.events:
        expected.setdefault(event["id"], []).append(event["version"])
    for file_id, versions in expected.items():
        assert [v["version"] for v in versions_of(root, file_id)["items"]] == sorted(versions, reverse=True)
    report = Verification(root, copied=len(journal.events)).run()
    assert (report["checked"], report["damaged"], report["missing"]) == (len(journal.events), [], [])
    assert report["head"]
    assert report["head"]["size"] == len(journal.events)
    contents = len([p for p in (root / "history").rglob("v*_*") if p.is_file()])
    assert contents == len([e for e in journal.events if e["type"] != "File_delete"])
    wait_until(lambda: not list(root.rglob(".tmp-*")))


def newest(journal: Journal) -> dict[int, int]:
    """The newest version of each file."""
    return {event["id"]: event["version"] for event in journal.events}


def test_it_catches_up_after_downtime_and_reports_what_is_safe(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """What happened before the start and while it was down is copied without one message on the bus."""
    fill(journal, 60)
    backup = start_backup()
    backup.wait_caught_up(60)
    assert backup.stop() < 4
    fill(journal, 60)
    backup.start()
    backup.wait_caught_up(120)
    assert_complete(backup.root, journal)
    wait_until(lambda: files.protected == newest(journal))
    status = backup.wait_state("active")
    assert (status["cursor"], status["head"]) == (f"{journal.epoch}:120",) * 2
    assert (status["lag_events"], status["failing"], status["waiting"]) == (0, [], 0)
    assert backup.call("health") == {"directory": "ok"}
    report = backup.call("verify")
    assert (report["checked"], report["damaged"], report["missing"]) == (120, [], [])
    assert (report["journal_compared"], report["newer"]) == (True, 0)
    noted = json.loads((backup.data / "backup-head.json").read_text())
    assert report["head"] == status["chain"] == {"size": noted["size"], "root": noted["root"]}
    assert report["head"]["size"] == 120
    file_id = journal.events[-1]["id"]
    items = backup.call("versions", file_id=file_id)["items"]
    assert items == versions_of(backup.root, file_id)["items"]
    for path in backup.root.glob(f"history/*/{file_id}/v{items[0]['version']:06d}*"):
        path.unlink()
    missing = backup.call("verify")["missing"]
    assert [(f["file_id"], f["version"]) for f in missing] == [(file_id, items[0]["version"])]
    report = backup.call("verify", repair=True)
    assert (report["damaged"], report["missing"], len(report["repaired"])) == ([], [], 1)
    assert backup.call("versions", file_id=file_id)["items"] == items
    assert_complete(backup.root, journal)
    assert backup.call("status")["last_verified"]["repaired"] == 1


def test_versions_are_told_and_nothing_about_the_question_is_believed(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """A version with the place of its bytes; whatever else is asked for is an error with a name."""
    journal.add(b"one", folder="Offers/2026", labels={"crm.deal": "42"})
    journal.add(None, version=2, permanent=True)
    backup = start_backup()
    backup.wait_caught_up(2)
    [removed, created] = backup.call("versions", file_id=7)["items"]
    assert (removed["event"], removed["permanent"]) == ("File_delete", True)
    assert (created["folder"], created["labels"], created["permanent"]) == ("Offers/2026", {"crm.deal": "42"}, False)
    version = backup.call("version", file_id=7, version=1)
    assert (backup.root / version["path"]).read_bytes() == b"one"
    assert version == {**created, "user_id": 3, "path": version["path"]}
    assert backup.call("version", file_id=7, version=2)["path"] is None
    assert backup.call("versions", file_id=7, before=2, limit=1) == {"items": [created], "next": None}
    for bad in (0, -1, 2**63, 1.0, True, "1", "../7", None, [7], {}, 999_999):
        for method, arguments in [
            ("versions", {"file_id": bad}),
            ("version", {"file_id": bad, "version": 1}),
            ("version", {"file_id": 7, "version": bad}),
        ]:
            with pytest.raises(NotFound):
                backup.call(method, **arguments)
    for limit in (0, -1, 1001, "1", 1.0, None):
        with pytest.raises(InvalidInput):
            backup.call("versions", file_id=7, limit=limit)
    assert backup.call("health") == {"directory": "ok"}


def test_the_place_it_reports_is_the_one_on_disk(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """Up to the first version that is not safe, however much is copied behind it; then to the end."""
    lost = next(event for event in fill(journal, 10, files_count=100) if event["size"] == 3000)
    put_back = take_away(journal, lost)
    backup = start_backup()
    others = {k: v for k, v in newest(journal).items() if k != lost["id"]}
    wait_until(lambda: others.items() <= files.protected.items(), 20)
    wait_until(lambda: files.through == f"{journal.epoch}:{lost['event_id'] - 1}")
    put_back()
    backup.wait_caught_up(10)
    wait_until(lambda: files.through == f"{journal.epoch}:10")


def test_an_event_on_the_bus_is_copied_at_once(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """In well under the time of the next look into the journal, event after event."""
    fill(journal, 1)
    backup = start_backup()
    backup.wait_caught_up(1)
    backup.wait_state("active")
    for number in range(2, 8):
        files.tell(*fill(journal, 1))
        backup.wait_caught_up(number, deadline=1.5)


def test_repeated_shuffled_and_lost_messages_change_nothing(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """The bus may lie about order and number, and bring rubbish; the journal is the truth."""
    backup = start_backup()
    backup.wait_state("active")
    events = fill(journal, 100)
    seeded = random.Random(3)
    messages = [event for event in events * 3 if seeded.random() < 0.7]
    seeded.shuffle(messages)
    rubbish = {"type": "File_create", "cursor": "no cursor"}
    files.tell(*messages[:100], rubbish, *messages[100:])  # type: ignore[arg-type]
    backup.wait_caught_up(100)
    assert_complete(backup.root, journal)


def test_kills_at_random_moments_lose_and_double_nothing(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """kill -9 five times while 200 events arrive: in the end every version is there once, and reported. Whenever a
    place in the journal is reported, it is on disk and every entry up to it is whole."""
    seeded = random.Random(11)
    backup = start_backup()
    backup.wait_state("active")  # whoever tells events first needs its exchange
    claims: list[int] = []
    wrong: list[int] = []

    def check(event_id: int) -> None:
        written = json.loads((backup.root / "state" / "cursor.json").read_bytes())["copied"] if event_id else 0
        missing = absent(backup.root, journal.events[max(claims, default=0) : event_id])
        claims.append(event_id)
        if event_id > written or missing:
            wrong.append(event_id)

    files.hear_claim = check
    for _ in range(5):
        wanted = len(journal.events) + seeded.randint(1, 35)
        files.tell(*fill(journal, 40))
        wait_until(lambda wanted=wanted: len(list(backup.root.rglob("v*.json"))) >= wanted, 20, 0.005)
        backup.kill()
        backup.start()
    backup.wait_caught_up(200)
    assert_complete(backup.root, journal)
    wait_until(lambda: files.protected == newest(journal))
    wait_until(lambda: claims[-1] == 200)
    assert wrong == []


def test_a_failing_version_is_shown_and_does_not_hold_up_the_others(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """A missing or damaged blob is retried until it is back; the later versions are safe and reported long before, and
    nothing of the damage is taken into the backup."""
    fill(journal, 10, files_count=100)
    spoiled = journal.add(b"what was saved", file_id=101)
    lost = next(event for event in journal.events if event["size"] == 3000)
    put_back = take_away(journal, lost)
    blob = journal.blob_path(spoiled)
    blob.chmod(0o600)
    blob.write_bytes(b"what was SAVED")
    backup = start_backup()
    others = {k: v for k, v in newest(journal).items() if k not in (lost["id"], 101)}
    wait_until(lambda: others.items() <= files.protected.items(), 20)
    status = wait_until(lambda: len((s := backup.call("status"))["failing"]) == 2 and s)
    errors = {failing["event_id"]: failing["error"].partition(":")[0] for failing in status["failing"]}
    assert errors == {lost["event_id"]: "blob_missing", spoiled["event_id"]: "blob_damaged"}
    assert not list(backup.root.glob("history/*/101/v*"))
    assert status["advice"].startswith("the content of 1 versions is not in the blob store any more")
    assert status["cursor"] == f"{journal.epoch}:{lost['event_id'] - 1}"
    put_back()
    blob.write_bytes(b"what was saved")
    backup.wait_caught_up(11)
    assert_complete(backup.root, journal)
    status = backup.call("status")
    assert (status["failing"], status["advice"]) == ([], None)


def test_a_burst_of_changes_of_one_file_loses_none(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """200 versions told at once, equal content among them."""
    backup = start_backup()
    backup.wait_state("active")
    events = [journal.add(b"%d" % (version // 2), version=version) for version in range(1, 201)]
    files.tell(*reversed(events))
    backup.wait_caught_up(200)
    assert_complete(backup.root, journal)
    wait_until(lambda: files.protected == {7: 200})


def test_a_full_disk_is_told_waited_for_and_forgotten_when_there_is_room(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """Status and health say so, nothing is dropped or left behind. A limit on the size of files stands in for the
    disk: mounting a small one takes rights that a test has not."""
    backup = start_backup()
    backup.wait_state("active")
    assert backup.program is not None
    limit = resource.prlimit(backup.program.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(backup.program.process.pid, resource.RLIMIT_FSIZE, (500_000, limit[1]))
    files.tell(*[journal.add(os.urandom(600_000), file_id=number) for number in range(1, 9)])
    status = backup.wait_state("disk_full")
    assert (status["reason"], status["cursor"]) == ("the backup disk is full", f"{journal.epoch}:0")
    assert status["waiting"] == 8
    with pytest.raises(Unavailable, match="full"):
        backup.call("health")
    assert list((backup.root / "history").rglob("v*")) == []
    resource.prlimit(backup.program.process.pid, resource.RLIMIT_FSIZE, limit)
    backup.wait_caught_up(8)
    assert_complete(backup.root, journal)
    assert backup.wait_state("active")["failing"] == []
    assert backup.call("health") == {"directory": "ok"}


def test_a_directory_without_a_chain_gets_one_at_the_start(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """One of an earlier release, or one whose chain was lost: the same head again, and what comes then is linked."""
    fill(journal, 30)
    backup = start_backup()
    backup.wait_caught_up(30)
    backup.stop()
    head = ChainView(backup.root).head()
    shutil.rmtree(backup.root / "chain")
    fill(journal, 5)
    backup.start()
    backup.wait_caught_up(35)
    assert "chain_adopted" in backup.output()
    assert ChainView(backup.root).head(30) == head
    assert_complete(backup.root, journal)


def test_the_schedule_finds_damage_and_says_so(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """A share after the other, those that a stop let wait at once; found again by nobody when it is repaired."""
    fill(journal, 30)
    backup = start_backup()
    backup.wait_caught_up(30)
    backup.stop()
    content = next(path for path in (backup.root / "history").rglob("v*_*") if path.stat().st_size == 3000)
    content.chmod(0o644)
    content.write_bytes(bytes(3000))
    state = backup.root / "state" / "verify.json"
    late = (datetime.now(UTC) - timedelta(hours=40)).isoformat()
    state.write_text(json.dumps({"of": 720, "next": 0, "at": late, "findings": []}))
    backup.start()
    wait_until(lambda: json.loads(state.read_text())["next"] == 40, 20)
    [found] = json.loads(state.read_text())["findings"]
    assert (found["kind"], backup.root / found["path"]) == ("content", content)
    assert "verify_found" in backup.output()
    # The command asks the running service, which holds the lock and knows the journal.
    event = next(path for path in (backup.root / "history").rglob("v*.json"))
    before = event.read_bytes()
    event.unlink()
    command = [sys.executable, "-m", "backup.verify_command", "--repair", "--amqp-uri", backup.amqp_uri]
    directories = ["--backup-dir", str(backup.root), "--data-dir", str(backup.data)]
    done = subprocess.run([*command, *directories], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.count("repaired: history/")) == (0, 2), done.stdout + done.stderr
    assert event.read_bytes() == before
    assert json.loads(state.read_text())["findings"] == []


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "before it starts"])
def test_a_missing_marker_is_refused_until_it_is_back(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess], running: bool
) -> None:
    """An unmounted disk: nothing is written to the empty mount point, and mounting it heals without a restart."""
    fill(journal, 5)
    backup = start_backup()
    backup.wait_caught_up(5)
    if not running:
        backup.stop()
    disk = backup.root.with_name("disk")
    backup.root.rename(disk)
    backup.root.mkdir()
    fill(journal, 5)
    if not running:
        backup.start()
    status = backup.wait_state("refusing")
    assert "marker" in status["reason"]
    assert list(backup.root.iterdir()) == []
    with pytest.raises(Unavailable):
        backup.call("versions", file_id=journal.events[0]["id"])
    with pytest.raises(Unavailable):
        backup.call("health")
    backup.root.rmdir()
    disk.rename(backup.root)
    backup.wait_caught_up(10)
    assert_complete(backup.root, journal)


def test_a_journal_of_another_epoch_is_refused_until_the_right_one_is_back(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess], tmp_path: Path
) -> None:
    """Another database's versions never mix with this one's history."""
    fill(journal, 5)
    backup = start_backup()
    backup.wait_caught_up(5)
    before = {p: p.stat().st_mtime_ns for p in (backup.root / "history").rglob("*")}
    files.journal = Journal(tmp_path / "store", epoch=str(uuid.uuid4()))
    files.tell(*fill(files.journal, 8))
    status = backup.wait_state("epoch_changed")
    assert status["lag_events"] is None
    for method, arguments in [("versions", {}), ("version", {"version": 1})]:
        with pytest.raises(Unavailable):  # the new journal's file 1 may be another person's
            backup.call(method, file_id=journal.events[0]["id"], **arguments)
    backup.stop()
    shutil.copy(backup.data / "backup-store.json", tmp_path)
    (backup.data / "backup-store.json").unlink()
    backup.start()
    backup.wait_state("epoch_changed")
    assert {p: p.stat().st_mtime_ns for p in (backup.root / "history").rglob("*")} == before
    files.journal = journal
    fill(journal, 5)
    backup.wait_caught_up(10)
    assert_complete(backup.root, journal)
    recorded = json.loads((backup.data / "backup-store.json").read_text())
    assert recorded == json.loads((tmp_path / "backup-store.json").read_text())


def test_a_second_process_stands_by_and_takes_over(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """One writes at a time; when it is killed the other goes on within seconds."""
    fill(journal, 5)
    first = start_backup()
    first.wait_caught_up(5)
    second = start_backup()
    wait_until(lambda: "standby" in second.output(), 20)
    files.tell(*fill(journal, 20))
    first.wait_caught_up(25)
    assert "state=active" not in second.output().replace("'", "")
    fill(journal, 20)
    first.kill()
    second.wait_caught_up(45, deadline=8)
    assert_complete(second.root, journal)


def test_it_starts_and_stays_up_without_files_and_broker(
    broker: Broker, journal: Journal, tmp_path: Path, start_backup: Callable[[], BackupProcess]
) -> None:
    """Nothing to talk to: the process waits, and copies when the others are there."""
    fill(journal, 5)
    backup = start_backup()
    wait_until(lambda: "waiting" in backup.output(), 20)
    broker.kill()
    late = BackupProcess(broker.amqp_uri, tmp_path, 1)
    late.root, late.data = tmp_path / "late", tmp_path / "store_late"
    shutil.copytree(backup.data / "blobs", late.data / "blobs")
    late.start()
    assert late.program is not None
    assert backup.program is not None
    try:
        wait_until(lambda: "waiting" in late.output(), 20)
        assert late.stop() < 4
        late.start()
        broker.start()
        files = StandInFiles(broker.amqp_uri, journal)
        files.start()
        try:
            for process in (backup, late):
                assert process.program.running
                process.wait_caught_up(5, deadline=40)
                assert_complete(process.root, journal)
        finally:
            files.stop()
    finally:
        late.kill()
        if not broker.node.wait_ready(0):
            broker.start()


def test_it_stops_in_time_while_the_broker_is_gone(
    broker: Broker, files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """Nameko's consumers wait for a lost broker for ever; the process ends within four seconds all the same."""
    fill(journal, 5)
    backup = start_backup()
    backup.wait_caught_up(5)
    backup.wait_state("active")
    files.stop()
    broker.kill()
    try:
        wait_until(lambda: "Error connecting to broker" in backup.output() or "onnection" in backup.output(), 10)
        assert backup.stop() < 4
    finally:
        broker.start()


def test_stopping_does_not_wait_for_a_disk_that_hangs(
    files: StandInFiles, journal: Journal, start_backup: Callable[[], BackupProcess]
) -> None:
    """A copy whose reading never returns is given up, leaves nothing, and is made at the next start."""
    events = [journal.add(b"%d" % number, file_id=number) for number in range(1, 4)]
    put_back = take_away(journal, events[1])
    os.mkfifo(journal.blob_path(events[1]))  # opening it waits for a writer that never comes
    backup = start_backup()
    backup.wait_caught_up(1)
    wait_until(lambda: files.protected == {1: 1, 3: 1})
    assert backup.stop() < 4
    put_back()
    backup.start()
    backup.wait_caught_up(3)
    assert_complete(backup.root, journal)
