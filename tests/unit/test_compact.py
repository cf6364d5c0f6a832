"""Compaction: what becomes a patch, what does not, and that every version still gives its exact bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backup.compact
import backup.patch
from backup.compact import FileCompaction, Tally, age_limit
from backup.compact_plan import wanted_base
from backup.errors import Cancelled
from backup.layout import STEPS_MAX, Layout
from backup.repair import Repair, lines_of
from backup.verify import Verification
from docsave_services.storage import blob_key
from docsave_services.times import to_text
from tests.support.chained import back_up
from tests.support.compacting import Shelf, by_hand, changed, checked_by_hand, compact_until_killed
from tests.support.crashing import kill_at_each_step
from tests.support.thinning import thin

KIB = 1024

REBASED_AT = 18
"""Of versions that are compacted one by one, the first that makes an earlier patch be made again: the way from version
1 by version 8 to the newest would have 17 steps."""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def random_bytes(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


def row_of_versions(shelf: Shelf, count: int, size: int, file_id: int = 7) -> None:
    """Each with 1 % other bytes than the one before."""
    content = random_bytes(size)
    for version in range(1, count + 1):
        shelf.save(content, version, file_id)
        content = changed(content, version)


def test_fifty_versions_take_little_more_than_one(shelf: Shelf) -> None:
    """50 versions of random bytes, 1 % of which change each time: 2.4 times the size of one, and three blocks each."""
    row_of_versions(shelf, 50, 1_000_000)
    plain = shelf.room()
    tally = shelf.compact()
    assert (tally.compacted, tally.incompressible, tally.unreadable) == (49, 0, 0)
    assert plain - shelf.room() == pytest.approx(tally.saved_bytes, rel=0.01)
    assert shelf.room() < 2_400_000 + 50 * 3 * 4096
    assert shelf.packed() == list(range(1, 50))
    assert len([path for path in shelf.root.glob("objects/*/*/*") if path.is_file()]) == 1
    shelf.check()
    assert Verification(shelf.root).run()["damaged"] == []


def test_versions_that_come_one_by_one_end_the_same(shelf: Shelf) -> None:
    """A new version disturbs few of those before it, and no way to plain content becomes too long."""
    content, work = random_bytes(60 * KIB), 0
    for version in range(1, 68):
        shelf.save(content, version)
        content = changed(content, version)
        work += shelf.compact().compacted
        assert shelf.layout().steps(1) <= STEPS_MAX
    shelf.check()
    assert shelf.packed() == [version for version in range(1, 67) if version != 64]  # the newest of the first block
    assert work == 65


def test_a_person_restores_any_version_with_zstd_alone(shelf: Shelf, tmp_path: Path) -> None:
    """By the function in the document: from a patch, over many, from content packed alone, and from plain content."""
    row_of_versions(shelf, 65, 40 * KIB)
    text = b"".join(b"line %d of a long text\n" % number for number in range(9000))
    shelf.save(text, 128)  # the newest of its block: packed alone
    shelf.save(b"short", 129)
    shelf.compact()
    assert shelf.layout().side(128) is not None
    for version in (1, 8, 9, 57, 64, 65, 128, 129):
        assert by_hand(shelf.directory(), version, tmp_path / "restored") == shelf.contents[7, version]


def test_a_person_finds_damage_without_docsave(shelf: Shelf) -> None:
    """The loop of the document says nothing of sound content, also packed, given up or named as a patch is; and names
    each version that cannot be had."""
    row_of_versions(shelf, 4, 40 * KIB)
    shelf.save(b"x" * 10, 1, file_id=8, name="a.zst")
    for version, content in enumerate((b"old", b"new", None), 1):
        shelf.save(content, version, file_id=9, folder="scratch")
    thin(shelf.root, "scratch: keep-last=1")
    shelf.compact()
    assert shelf.packed() == [1, 2, 3]
    assert checked_by_hand(shelf.root) == []
    patch, plain = shelf.layout().packed(2), shelf.layout(8).plain(1)
    assert patch
    assert plain
    for path in (patch, plain):
        path.chmod(0o600)
        path.write_bytes(b"damaged")
    damaged = ["./3/7/v000001", "./3/7/v000002", "./3/8/v000001"]
    assert checked_by_hand(shelf.root) == [f"damaged: {each}" for each in damaged]


def test_young_versions_stay_plain(shelf: Shelf) -> None:
    """The age is that of the version; what has none, because it is the newest, never becomes a patch."""
    content = random_bytes(50 * KIB)
    for version, days in [(1, 40), (2, 31), (3, 29), (4, 0)]:
        at = to_text(datetime.now(UTC) - timedelta(days=days))
        shelf.save(changed(content, version), version, at=at)
    shelf.save(None, 5)
    shelf.compact(days=30)
    assert shelf.packed() == [1, 2]
    shelf.compact(days=0)
    assert shelf.packed() == [1, 2, 3]  # 4 is the newest with content
    shelf.check()


def test_content_that_does_not_shrink_stays_plain_and_is_not_tried_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file beside the entry notes it."""
    for version in range(1, 4):
        shelf.save(random_bytes(40 * KIB, version), version)
    before = sorted(shelf.root.rglob("v*_*"))
    assert shelf.compact().incompressible == 2
    assert sorted(shelf.root.rglob("v*_*")) == before
    monkeypatch.setattr(backup.compact, "write_patch", pytest.fail)
    assert shelf.compact() == Tally()
    shelf.check()


def test_small_content_is_left_alone(shelf: Shelf) -> None:
    """A patch and the file that names its base take two blocks of the disk."""
    for version in range(1, 4):
        shelf.save(b"x" * 8191 + b"%d" % version, version)
    assert shelf.compact() == Tally()
    assert shelf.packed() == []


def test_shared_content_stays_until_nothing_else_links_to_it(shelf: Shelf) -> None:
    """Another file's version, or the newest of this one, has the same bytes: a patch would save nothing."""
    content = random_bytes(60 * KIB)
    shelf.save(content, 1)
    shelf.save(changed(content, 1), 2)
    shelf.save(content, 1, file_id=8)
    shelf.save(changed(content, 2), 1, file_id=9)
    shelf.save(changed(content, 2), 2, file_id=9, name="renamed.pdf")
    assert shelf.compact() == Tally()
    shelf.save(changed(content, 3), 2, file_id=8)
    assert shelf.compact() == Tally()  # 7's version 1 still has it
    (shelf.directory(8) / shelf.layout(8).files(1)[0]).unlink()
    del shelf.contents[8, 1]
    (shelf.directory(8) / "v000001.json").unlink()
    assert shelf.compact().compacted == 1
    shelf.check()


def test_equal_content_within_a_file_goes_together(shelf: Shelf) -> None:
    """Renamed, or restored from an earlier version: all the names become patches, and the object goes."""
    first = random_bytes(60 * KIB)
    second = changed(first, 1)
    for version, content in enumerate([first, first, second, first, changed(first, 2)], 1):
        shelf.save(content, version, name=f"{version}.pdf")
    before = shelf.room()
    tally = shelf.compact()
    assert tally.compacted == 4
    assert before - shelf.room() == pytest.approx(tally.saved_bytes, abs=20_000)
    objects = {path.name for path in shelf.root.glob("objects/*/*/*")}
    assert objects == {event["sha256"] for event in shelf.journal.events[-1:]}
    shelf.check()


def test_content_beyond_the_limit_is_packed_alone(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large content is no base and gets none, so memory has a bound; what compresses by itself is still packed."""
    monkeypatch.setattr(backup.patch, "PATCHED_BYTES_MAX", 100 * KIB)
    text = b"".join(b"line %d of a long text\n" % number for number in range(20_000))
    for version, content in enumerate([text, text + b"more", random_bytes(200 * KIB), b"end"], 1):
        shelf.save(content, version)
    shelf.compact()
    layout = shelf.layout()
    assert [layout.base(version) for version in (1, 2, 3)] == [None, None, None]
    assert shelf.packed() == [1, 2]
    assert layout.steps(1) == 0
    shelf.check()


def test_a_damaged_copy_becomes_no_patch_and_no_base(shelf: Shelf) -> None:
    """``verify`` has to find it as it is."""
    row_of_versions(shelf, 3, 50 * KIB)
    plain = shelf.layout().plain(2)
    assert plain
    plain.chmod(0o644)
    plain.write_bytes(b"?" + plain.read_bytes()[1:])
    assert shelf.compact().unreadable == 2
    assert shelf.packed() == []
    assert {finding["version"] for finding in Verification(shelf.root).run()["damaged"]} == {2}


def test_a_patch_is_proven_from_the_disk(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the plain content goes: what the system remembers of what it wrote is no proof."""
    reads: list[list[int]] = []
    monkeypatch.setattr(backup.compact, "forget_cached", lambda _: reads.append(shelf.packed()))
    row_of_versions(shelf, 4, 50 * KIB)
    shelf.compact()
    assert reads == [[], [1], [1, 2]]


def test_a_damaged_patch_is_named_with_what_is_made_of_it(shelf: Shelf) -> None:
    """Each version that cannot be restored is a finding."""
    row_of_versions(shelf, 5, 50 * KIB)
    shelf.compact()
    patch = shelf.layout().packed(3)
    assert patch
    patch.chmod(0o644)
    patch.write_bytes(patch.read_bytes()[:-10] + bytes(10))
    findings = Verification(shelf.root).run()["damaged"]
    assert {finding["version"] for finding in findings} == {1, 2, 3}
    assert patch.name in findings[0]["problem"]
    patch.unlink()
    report = Verification(shelf.root).run()
    assert [finding["version"] for finding in report["missing"]] == [3]
    assert "version 3, which version" in report["damaged"][0]["problem"]


def test_a_damaged_patch_is_repaired_once_for_all_that_are_made_of_it(shelf: Shelf) -> None:
    """The store has only that version's blob, others were swept: the rest is whole again with it, and stays packed."""
    row_of_versions(shelf, 5, 50 * KIB)
    shelf.compact()
    for event in shelf.journal.events:
        if event["version"] != 3:
            shelf.journal.blob_path(event).unlink()
    patch = shelf.layout().packed(3)
    assert patch
    patch.chmod(0o600)
    patch.write_bytes(patch.read_bytes()[:-20] + bytes(20))
    report = Verification(shelf.root).run()
    assert [finding["version"] for finding in report["damaged"]] == [1, 2, 3]
    Repair(shelf.history, shelf.journal.blobs, {}, {}).run(report)
    assert (report["damaged"], report["missing"], len(report["repaired"])) == ([], [], 3)
    assert shelf.packed() == [1, 2, 4]
    shelf.check()


def test_what_only_a_mirror_has_is_repaired_from_it(shelf: Shelf, tmp_path: Path) -> None:
    """The store has given up old blobs, and packed content has no object: a second directory, as a target keeps it,
    gives back contents and events; never one that is damaged there, too."""
    row_of_versions(shelf, 5, 50 * KIB)
    back_up(shelf.root, shelf.journal)
    mirror = tmp_path / "mirror"
    shutil.copytree(shelf.root, mirror)
    shelf.compact()
    for event in shelf.journal.events:
        shelf.journal.blob_path(event).unlink()
    for version in (2, 4):
        packed = shelf.layout().packed(version)
        assert packed
        packed.unlink()
    (shelf.directory() / "v000001.json").unlink()
    bad = Layout(mirror / shelf.directory().relative_to(shelf.root)).plain(2)
    assert bad
    bad.chmod(0o600)
    bad.write_bytes(b"damaged, too")
    report = Verification(shelf.root).run()
    Repair(shelf.history, shelf.journal.blobs, lines_of(shelf.root, report), {}, mirrors=[mirror]).run(report)
    assert [finding["version"] for finding in [*report["damaged"], *report["missing"]]] == [2]
    assert sorted(line.partition(": ")[2] for line in report["repaired"])[-1].startswith("the event was written again")
    assert [finding["version"] for finding in Verification(shelf.root).run()["missing"]] == [2]


def test_a_patch_that_leads_nowhere_is_damage(shelf: Shelf) -> None:
    """Whoever wrote the file beside it: reading ends."""
    row_of_versions(shelf, 4, 50 * KIB)
    shelf.compact()
    for version, base in [(1, 2), (2, 1), (3, 999)]:
        side = shelf.directory() / f"v{version:06d}.patch.json"
        content = {**json.loads(side.read_bytes()), "base": base}
        side.chmod(0o644)
        side.write_text(json.dumps(content))
    assert {finding["version"] for finding in Verification(shelf.root).run()["damaged"]} == {1, 2, 3}


def test_the_journal_read_again_finds_patches_complete(shelf: Shelf) -> None:
    """After the place in the journal is lost, every event comes again: nothing is written twice."""
    row_of_versions(shelf, 5, 50 * KIB)
    shelf.compact()
    before = sorted(shelf.root.rglob("*"))
    for event in shelf.journal.events:
        assert shelf.history.write(event).repeated
    assert sorted(shelf.root.rglob("*")) == before


def test_content_that_was_packed_can_come_back(shelf: Shelf) -> None:
    """The object is gone; a new version with the same bytes makes another."""
    row_of_versions(shelf, 3, 50 * KIB)
    shelf.compact()
    event = shelf.save(shelf.contents[7, 1], 4)
    assert (shelf.root / "objects" / blob_key(event["sha256"])).exists()
    shelf.check()


def test_it_ends_when_it_is_told_to(shelf: Shelf) -> None:
    """With nothing half done."""
    row_of_versions(shelf, 3, 50 * KIB)
    before = sorted(shelf.root.rglob("*"))
    with pytest.raises(Cancelled):
        FileCompaction(shelf.root, shelf.directory(), age_limit(0), Tally(), cancelled=lambda: True).run()
    assert sorted(shelf.root.rglob("*")) == before


def test_without_hard_links_it_works_the_same(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every copy has its own bytes, and there are no objects."""

    def no_link(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    row_of_versions(shelf, 4, 50 * KIB)
    shelf.save(shelf.contents[7, 1], 1, file_id=8)
    assert shelf.compact().compacted == 3
    shelf.check()


@pytest.mark.parametrize("missing", [set(), set(range(8, 400, 8)), set(range(1, 400, 3)), set(range(60, 190))])
def test_no_way_is_longer_than_sixteen_steps(missing: set[int]) -> None:
    """Whatever versions there are: at most 7 within a group, 7 within a block."""
    usable = [version for version in range(1, 401) if version not in missing]
    steps: dict[int, int] = {}
    for version in reversed(usable):
        base = wanted_base(version, usable)
        assert base is None or base > version
        steps[version] = 0 if base is None else steps[base] + 1
    assert max(steps.values()) <= 14
    assert sum(1 for count in steps.values() if count == 0) <= 400 // 64 + 1


CHANGE = st.sampled_from(["edit", "insert", "move", "replace", "rename", "back", "delete", "other", "compact"])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGE, min_size=3, max_size=30), seed=st.integers(0, 2**32))
def test_every_version_stays_what_it_was(
    tmp_path_factory: pytest.TempPathFactory, changes: list[str], seed: int
) -> None:
    """Any history, compacted at any moments: each version gives its bytes, and ``verify`` finds nothing."""
    shelf = Shelf(tmp_path_factory.mktemp("any"))
    rng = random.Random(seed)
    contents = [rng.randbytes(rng.choice([5 * KIB, 30 * KIB, 90 * KIB]))]
    shelf.save(contents[0], 1)
    version = 1
    for number, change in enumerate(changes):
        if change == "compact":
            shelf.compact()
            continue
        if change == "other":
            shelf.save(rng.choice(contents), 1, file_id=100 + number)
            continue
        version += 1
        new = None if change == "delete" else _next(contents, change, rng)
        shelf.save(new, version, name=f"{change}.zst")
        contents += [new] if new is not None else []
    shelf.check()
    shelf.compact()
    shelf.check()
    report = Verification(shelf.root).run()
    assert (report["damaged"], report["missing"]) == ([], [])


def _next(contents: list[bytes], change: str, rng: random.Random) -> bytes:
    last = contents[-1]
    place = rng.randrange(len(last))
    return {
        "edit": lambda: changed(last, rng.randrange(2**32), 0.05),
        "insert": lambda: last[:place] + rng.randbytes(500) + last[place:],
        "move": lambda: last[place:] + last[:place],
        "replace": lambda: rng.randbytes(30 * KIB),
        "rename": lambda: last,
        "back": lambda: rng.choice(contents),
    }[change]()


@pytest.mark.parametrize("count", [3, REBASED_AT])
def test_a_kill_at_any_step_loses_nothing(tmp_path: Path, count: int) -> None:
    """Every version gives its bytes after it; the next pass ends as an undisturbed one does."""
    shelf = Shelf(tmp_path)
    content = random_bytes(20 * KIB)
    for version in range(1, count + 1):
        if version > 3:
            shelf.compact()
        shelf.save(content, version)
        content = changed(content, version)
    runs = tmp_path / "runs"
    runs.mkdir()
    before = shelf.layout().base(8)
    shelf.root.rename(runs / "0")
    steps = kill_at_each_step(runs, compact_until_killed)
    assert steps > 20
    shelf.root = runs / str(steps)
    assert (shelf.layout().base(8) != before) == (count == REBASED_AT)
    expected = _names(shelf.root)
    for number in range(1, steps):
        shelf.root = runs / str(number)
        shelf.check()
        shelf.compact()
        for left in shelf.root.rglob(".tmp-*"):
            left.unlink()
        assert _names(shelf.root) == expected, f"not healed after a kill at step {number}"
        shelf.check()


def _names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
