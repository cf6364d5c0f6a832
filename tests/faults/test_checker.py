"""The checker is no yes-man: what a healthy run kept is damaged in copies, and each damage is named."""

from __future__ import annotations

import copy
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults import checker
from tests.faults.attack import Attack, Target
from tests.faults.conftest import SEED
from tests.faults.diary import Diary, Outcome, Person, Request
from tests.faults.evidence import Evidence, read_backups, read_blobs
from tests.faults.load import Worker

pytestmark = [pytest.mark.fault, pytest.mark.process]


@dataclass
class Run:
    """A healthy run, or a copy of it to be damaged; ``victim`` is an acknowledged upload and ``event`` its event."""

    data_dir: Path
    backup_dir: Path
    diary: Diary
    everything: list[Request]
    killed: int
    evidence: Evidence

    @property
    def victim(self) -> Request:
        """An acknowledged upload of a file that never changed."""
        changes = Counter(event["id"] for event in self.evidence.rows.events)
        uploads = (r for r in self.diary if r.act == "upload" and r.answer.get("sha256"))
        return next(upload for upload in uploads if changes[upload.answer["id"]] <= 1)

    @property
    def event(self) -> dict[str, Any]:
        """Its event."""
        return next(event for event in self.evidence.journal if event["id"] == self.victim.answer["id"])

    @property
    def blob(self) -> Path:
        """Its blob."""
        return self.data_dir / "blobs" / str(self.event["path"])

    @property
    def entry(self) -> tuple[Path, Path]:
        """Its event and its content in the backup directory."""
        directory = self.backup_dir / "history" / str(self.event["user_id"]) / str(self.event["id"])
        (content,) = directory.glob("v000001_*")
        return directory / "v000001.json", content

    def violations(self) -> list[str]:
        """What the checker says of it."""
        blobs, staging = read_blobs(self.data_dir / "blobs")
        found = Evidence(self.evidence.journal, self.evidence.rows, blobs, staging, read_backups(self.backup_dir))
        return checker.check_kept(found, self.diary, self.everything, self.killed)


@pytest.fixture(scope="module")
def healthy(on_sqlite: Target, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed."""
    attack = Attack(on_sqlite, f"{SEED}:healthy", tmp_path_factory.mktemp("healthy"))
    try:
        attack.load.complete(40)
        attack.assert_nothing_lost()
    finally:
        attack.close()
    system = on_sqlite.system
    return Run(
        system.data_dir,
        system.backup_dir,
        attack.diary,
        list(on_sqlite.requests),
        on_sqlite.uploads_killed,
        on_sqlite.collect(),
    )


@pytest.fixture
def run(healthy: Run, tmp_path: Path) -> Run:
    """A copy to be damaged."""
    shutil.copytree(healthy.data_dir / "blobs", tmp_path / "data" / "blobs")
    shutil.copytree(healthy.backup_dir, tmp_path / "backups")
    diary = Diary()
    diary.requests, diary.user_ids = copy.deepcopy(list(healthy.diary)), healthy.diary.user_ids
    evidence = copy.deepcopy(healthy.evidence)
    return Run(
        tmp_path / "data", tmp_path / "backups", diary, healthy.everything + diary.requests, healthy.killed, evidence
    )


def _overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


def _lose_event(run: Run) -> None:
    number = run.event["event_id"]
    for events in (run.evidence.journal, run.evidence.rows.events):
        del events[number - 1]


def _hide_event(run: Run) -> None:
    del run.evidence.journal[run.event["event_id"] - 1]


def _add_event(run: Run, **changed: Any) -> None:
    number = run.evidence.rows.last + 1
    added = {**run.event, "event_id": number, **changed}
    run.evidence.journal.append(added)
    run.evidence.rows.events.append({key: added[key] for key in run.evidence.rows.events[0]})
    run.evidence.rows.last = number


def _double_version(run: Run) -> None:
    content = run.entry[1]
    shutil.copy(content, content.with_name(f"{content.name}.again"))


def _swap_two_events(run: Run) -> None:
    journal = run.evidence.journal
    ours = [e for e in journal if e["user_id"] in run.diary.user_ids and e["type"] == "File_create"]
    first, last = ours[0], ours[-1]
    first["event_id"], last["event_id"] = last["event_id"], first["event_id"]
    journal.sort(key=lambda event: int(event["event_id"]))


def _lose_account(run: Run) -> None:
    run.diary.requests.append(Request("sign_up", 1, name="nobody", outcome=Outcome.ACK))


DAMAGES: dict[str, tuple[Callable[[Run], Any], str]] = {
    "blob lost": (lambda run: run.blob.unlink(), "the blob of version 1 of file {id} is missing"),
    "blob torn": (lambda run: _overwrite(run.blob, b"torn"), "blob {path} has other bytes"),
    "blob of nobody": (
        lambda run: (run.data_dir / "blobs" / "zz").write_bytes(b""),
        "blob zz belongs to no version and to no open request",
    ),
    "unfinished upload": (
        lambda run: [(run.data_dir / "blobs" / "staging" / str(n)).touch() for n in range(run.killed + 1)],
        "unfinished uploads are left",
    ),
    "event lost": (_lose_event, "acknowledged and missing from the journal"),
    "hole in the journal": (_lose_event, "without a hole"),
    "event hidden by the service": (_hide_event, "files.changes and the table file_event differ"),
    "event made up": (lambda run: _add_event(run, sha256="0" * 64), "nobody asked for event"),
    "event twice": (lambda run: _add_event(run, id=10**6), "happened 2 times"),
    "version twice": (_add_event, "version 1 does not follow 1"),
    "wrong order": (_swap_two_events, "was acknowledged"),
    "refused and done": (
        lambda run: setattr(run.victim, "outcome", Outcome.REJECT),
        "nobody asked for event {event_id}, or it was refused",
    ),
    "other answer": (lambda run: run.victim.answer.update(version=7), "answered"),
    "row lost": (lambda run: run.evidence.rows.files.clear(), "file {id} is in the journal but has no row"),
    "copy lost": (lambda run: run.entry[1].unlink(), "the backup's content of version 1 of file {id}"),
    "copy torn": (lambda run: _overwrite(run.entry[1], b"torn"), "the backup's content of version 1 of file {id}"),
    "copy twice": (_double_version, "the backup's content of version 1 of file {id}"),
    "copy's event lost": (lambda run: run.entry[0].unlink(), "the backup lacks version 1 of file {id}"),
    "copy's event changed": (lambda run: _overwrite(run.entry[0], b"{}"), "the backup's event differs"),
    "copy unfinished": (lambda run: run.entry[0].with_name(".tmp-1").touch(), "does not belong into the history"),
    "copy writable": (lambda run: run.entry[1].chmod(0o644), "is not read-only"),
    "account lost": (_lose_account, "the account nobody exists 0 times"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(run: Run, damage: str) -> None:
    """The undamaged copy passes; with one thing damaged the checker says which."""
    assert run.violations() == []
    expected = DAMAGES[damage][1].format(**run.event)
    DAMAGES[damage][0](run)
    found = run.violations()
    assert any(expected in violation for violation in found), found


@pytest.mark.parametrize(
    ("heard", "problem"),
    [
        ([1, 2, 4], "missing [3], foreign [], twice []"),
        ([1, 2, 2, 3, 4], "missing [], foreign [], twice [2]"),
        ([1, 2, 3, 4, 9], "missing [], foreign [9], twice []"),
        ([1, 3, 2, 4], "in another order"),
    ],
)
def test_what_a_listener_heard_wrongly_is_named(heard: list[int], problem: str) -> None:
    """A missing, repeated, foreign or late event is not overlooked."""
    (said,) = checker.check_heard("ann", [{"event_id": n} for n in heard], [{"event_id": n} for n in (1, 2, 3, 4)])
    assert problem in said


@pytest.mark.parametrize(
    ("outcome", "status", "doomed", "problem"),
    [
        (Outcome.UNKNOWN, 500, False, "undocumented status 500"),
        (Outcome.ACK, 201, True, "acknowledged what must be refused"),
        (Outcome.REJECT, 404, False, "refused without reason"),
    ],
)
def test_wrong_answers_are_named(outcome: Outcome, status: int, doomed: bool, problem: str) -> None:
    """An undocumented status, a yes where a no belongs and a no where a yes belongs."""
    (said,) = checker.check_answers([Request("rename", 1, 5, outcome=outcome, status=status, doomed=doomed)])
    assert problem in said


def _event(number: int, **more: Any) -> dict[str, Any]:
    return {"event_id": number, "id": number, "type": "File_create", "user_id": 1, "by": 1, **more}


@pytest.mark.parametrize(("first_try", "violations"), [(0.0, 0), (None, 1)])
def test_a_repetition_began_with_the_first_try(first_try: float | None, violations: int) -> None:
    """What an unanswered first try did comes in the journal before what was acknowledged between it and the second."""
    other = Request("upload", 1, sha256="b", began=1.0, ended=2.0, outcome=Outcome.ACK)
    repeated = Request("upload", 1, sha256="a", began=3.0, ended=4.0, outcome=Outcome.ACK)
    tries = [] if first_try is None else [Request("upload", 1, sha256="a", began=first_try, ended=0.5)]
    journal = [_event(1, sha256="a", name=None), _event(2, sha256="b", name=None)]
    assert len(checker.check_diary([*tries, other, repeated], {1}, journal)) == violations


def test_seed_repeats_the_contents() -> None:
    """The same seed gives the same contents, and no content comes twice."""
    person = Person.__new__(Person)  # nobody is asked for anything
    workers = [Worker(person, random.Random(seed), "w") for seed in "aab"]
    one, same, other = ([worker.new_content() for _ in range(5)] for worker in workers)
    assert one == same
    assert len({*one, *other}) == 10
