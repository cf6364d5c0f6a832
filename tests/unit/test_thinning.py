"""Retention on a real directory: what goes, what stays, and that the history still proves itself."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.catalogue import version_of
from backup.holds import Holds, place_hold
from backup.home import Home
from backup.layout import Layout
from backup.proof import proof_of
from backup.retention import CLOCK_DOUBTED, ON, QUIET_DAYS_MAX, Retention
from backup.verify import Verification
from docsave_services.domain.retention import parse_policy
from docsave_services.errors import BlobDamaged, NotFound, VersionThinned
from docsave_services.storage import blob_key
from tests.support.chained import back_up
from tests.support.compacting import Shelf, changed
from tests.support.crashing import kill_at_each_step
from tests.support.journal import EPOCH
from tests.support.thinning import thin, thin_until_killed

KIB = 1024
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def row(shelf: Shelf, count: int, size: int = 60 * KIB, file_id: int = 7) -> None:
    """Versions with 1 % other bytes each."""
    content = random.Random(file_id).randbytes(size)
    for version in range(1, count + 1):
        shelf.save(content, version, file_id)
        content = changed(content, version)


def present(shelf: Shelf, file_id: int = 7) -> list[int]:
    """The versions that still have content."""
    layout = shelf.layout(file_id)
    return [version for version in layout.versions if layout.plain(version) or layout.packed(version)]


def give_up(shelf: Shelf, *versions: int, file_id: int = 7) -> None:
    """What the test no longer expects to be there."""
    for version in versions:
        del shelf.contents[file_id, version]


def test_what_no_rule_keeps_goes_and_the_entries_stay(shelf: Shelf) -> None:
    """Content goes, with its object; the event stays, and a tombstone says when and by which rules."""
    row(shelf, 5)
    before = shelf.room()
    event = version_of(shelf.root, 7, 1)
    tally = thin(shelf.root, "keep-last=2")
    assert present(shelf) == [4, 5]
    assert tally.versions == 3
    assert before - shelf.room() == pytest.approx(tally.freed_bytes, abs=4 * 4096 * 3)
    assert not (shelf.root / "objects" / blob_key(event["sha256"])).exists()
    tombstone = json.loads((shelf.directory() / "v000001.thinned.json").read_bytes())
    assert (tombstone["sha256"], tombstone["rules"]) == (event["sha256"], "keep-last=2")
    assert version_of(shelf.root, 7, 1) == {**event, "path": None, "thinned": True}
    give_up(shelf, 1, 2, 3)
    shelf.check()


def test_the_newest_content_stays_also_before_a_deletion(shelf: Shelf) -> None:
    """A file in the trash can be had back, and so can one that was removed for good."""
    row(shelf, 3)
    shelf.save(None, 4)
    shelf.save(None, 5, permanent=True)
    thin(shelf.root, "keep-last=1")
    assert present(shelf) == [3]


def test_content_that_another_entry_has_stays_for_it(shelf: Shelf) -> None:
    """Equal content is stored once; only the name of the thinned version goes."""
    row(shelf, 2)
    same = shelf.contents[7, 1]
    shelf.save(same, 1, file_id=8)
    thin(shelf.root, "keep-last=1")
    assert present(shelf) == [2]
    assert present(shelf, 8) == [1]
    give_up(shelf, 1)
    shelf.check()
    assert Verification(shelf.root).run()["missing"] == []


def test_patches_against_what_goes_are_made_plain_first(shelf: Shelf) -> None:
    """An older version that stays does not depend on one that goes; compaction then finds it another neighbour."""
    row(shelf, 6)
    shelf.compact()
    assert shelf.packed() == [1, 2, 3, 4, 5]
    Holds(shelf.root).place(3, 7, 2, "lawsuit", 1)
    thin(shelf.root, "keep-last=1")
    assert present(shelf) == [2, 6]
    give_up(shelf, 1, 3, 4, 5)
    shelf.check()
    shelf.compact()
    assert shelf.packed() == [2]
    assert shelf.layout().base(2) == 6
    shelf.check()


def test_rules_of_a_folder_are_those_of_where_the_file_lies_now(shelf: Shelf) -> None:
    """The newest version says where."""
    row(shelf, 3)
    shelf.save(b"moved", 4, folder="scratch/old")
    thin(shelf.root, "keep-last=3; scratch: keep-last=1")
    assert present(shelf) == [4]


def test_without_rules_nothing_happens(shelf: Shelf) -> None:
    """Not even a look."""
    row(shelf, 3)
    before = sorted(shelf.root.rglob("*"))
    assert not Retention(shelf.root, parse_policy("")).begin()
    assert sorted(shelf.root.rglob("*")) == before


def test_a_hold_overrides_every_rule(shelf: Shelf) -> None:
    """One on a version keeps it, one on a file keeps all; when it ends the rules have their way."""
    row(shelf, 3)
    row(shelf, 3, file_id=8)
    place_hold(shelf.root, 7, 1, "lawsuit", 1)
    place_hold(shelf.root, 8, None, "audit", 1)
    tally = thin(shelf.root, "keep-last=1")
    assert (present(shelf), present(shelf, 8)) == ([1, 3], [1, 2, 3])
    assert (tally.versions, tally.held) == (1, 3)
    Holds(shelf.root).release(8, None, 2)
    thin(shelf.root, "keep-last=1")
    assert present(shelf, 8) == [3]
    (ended,) = [hold for hold in Holds(shelf.root).page(0, released=True)["items"] if hold["released_at"]]
    assert (ended["reason"], ended["by"], ended["released_by"]) == ("audit", 1, 2)


def test_what_cannot_be_held(shelf: Shelf) -> None:
    """What is not there, was thinned, or has no content."""
    row(shelf, 3)
    shelf.save(None, 4)
    thin(shelf.root, "keep-last=1")
    with pytest.raises(VersionThinned):
        place_hold(shelf.root, 7, 1, "late", 1)
    for file_id, version in ((7, 4), (7, 9), (9, None)):
        with pytest.raises(NotFound):
            place_hold(shelf.root, file_id, version, "none", 1)
    with pytest.raises(NotFound):
        Holds(shelf.root).release(7, None, 1)


def test_holds_that_cannot_be_read_keep_everything(shelf: Shelf) -> None:
    """Nobody knows what is held: nothing goes."""
    row(shelf, 3)
    place_hold(shelf.root, 7, 1, "lawsuit", 1)
    (shelf.root / "holds" / "7.json").write_text("{")
    with pytest.raises(BlobDamaged):
        thin(shelf.root, "keep-last=1")
    assert present(shelf) == [1, 2, 3]


def test_a_file_in_doubt_is_left_alone(shelf: Shelf) -> None:
    """Content that has to stay is damaged, or an entry cannot be read: every version may be needed."""
    row(shelf, 4)
    stays = shelf.layout().plain(3)
    assert stays
    stays.chmod(0o644)
    stays.write_bytes(b"x" * stays.stat().st_size)
    assert thin(shelf.root, "keep-last=2").doubted == 1
    assert present(shelf) == [1, 2, 3, 4]
    row(shelf, 3, file_id=8)
    (shelf.directory(8) / "v000002.json").unlink()
    (shelf.directory(8) / "v000002.json").write_text("torn")
    assert thin(shelf.root, "keep-last=2").doubted == 2
    assert present(shelf, 8) == [1, 2, 3]


def test_a_clock_that_jumped_is_not_believed(shelf: Shelf) -> None:
    """A pass ten years after the last one, or a day before it, thins nothing until it is said to be right."""
    row(shelf, 3)
    moment = [NOW]
    retention = Retention(shelf.root, parse_policy("keep-all-within=30d"), lambda: moment[0])
    assert not retention.begin()  # the first only notes the time
    assert retention.begin()
    for jump in (timedelta(days=QUIET_DAYS_MAX + 1), timedelta(days=3650), timedelta(days=-1)):
        moment[0] = NOW + jump
        again = Retention(shelf.root, parse_policy("keep-all-within=30d"), lambda: moment[0])
        assert not again.begin(asked=True)
        assert again.state == CLOCK_DOUBTED
        again.apply(shelf.directory())
        assert present(shelf) == [1, 2, 3]
    moment[0] = NOW + timedelta(days=3650)
    assert again.begin(trust_clock=True)
    again.apply(shelf.directory())
    assert (present(shelf), again.state) == ([3], ON)


def test_the_chain_and_the_proofs_hold_after_thinning(shelf: Shelf) -> None:
    """Verify finds nothing missing, and a thinned version is still proven to have been what it was."""
    row(shelf, 4)
    Home(shelf.root, shelf.root.parent / "data").initialise(EPOCH)
    back_up(shelf.root, shelf.journal, shelf.history)
    before = Verification(shelf.root).run()["head"]
    proof = proof_of(shelf.root, 7, 1)
    thin(shelf.root, "keep-last=1")
    report = Verification(shelf.root).run()
    assert (report["damaged"], report["missing"], report["head"]) == ([], [], before)
    assert proof_of(shelf.root, 7, 1)["path"] == proof["path"]


def test_an_event_that_comes_again_does_not_bring_content_back(shelf: Shelf) -> None:
    """The journal may be read again from an earlier place."""
    row(shelf, 2)
    thin(shelf.root, "keep-last=1")
    assert shelf.history.write(shelf.journal.events[0]).repeated
    assert present(shelf) == [2]


def test_a_kill_at_any_step_is_finished_by_the_next_pass(tmp_path: Path) -> None:
    """Plain and packed versions, and a dependant that stays: whatever was done, all that counts can be read, and the
    next pass comes to the same end."""
    shelf = Shelf(tmp_path / "0")
    row(shelf, 4)
    shelf.compact()
    shelf.save(b"plain" * 9000, 5)
    Holds(shelf.root).place(3, 7, 2, "lawsuit", 1)
    steps = kill_at_each_step(tmp_path, thin_until_killed, "keep-last=1")
    assert steps > 15
    for number in range(1, steps + 1):
        root = tmp_path / str(number) / "backup"
        assert Verification(root).run()["missing"] == [], number
        thin(root, "keep-last=1")
        layout = Layout(root / "history" / "3" / "7")
        left = [version for version in layout.versions if layout.files(version)]
        assert left == [2, 5], number
        report = Verification(root).run()
        assert (report["damaged"], report["missing"]) == ([], []), number


STEP = st.sampled_from(["save", "delete", "compact", "thin", "hold", "release"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=4, max_size=25), keep=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_any_order_of_steps_leaves_what_must_stay(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], keep: int, seed: int
) -> None:
    """Saving, compacting, thinning, holding in any order: held and kept versions give their bytes, verify finds
    nothing."""
    shelf, rng, version = Shelf(tmp_path_factory.mktemp("any")), random.Random(seed), 1
    content = rng.randbytes(30 * KIB)
    shelf.save(content, version)
    holds = Holds(shelf.root)
    for step in steps:
        if step in ("save", "delete"):
            version, content = version + 1, changed(content, rng.randrange(2**32))
            shelf.save(None if step == "delete" else content, version)
        elif step == "compact":
            shelf.compact()
        elif step == "hold":
            holds.place(3, 7, rng.choice(present(shelf)), "any", 1)
        elif step == "release":
            for number in holds.held(7).versions:
                holds.release(7, number, 1)
        else:
            thin(shelf.root, f"keep-last={keep}")
            stay = set(sorted(v for _, v in shelf.contents)[-keep:]) | holds.held(7).versions
            give_up(shelf, *[v for _, v in list(shelf.contents) if v not in stay])
            assert present(shelf) == sorted(v for _, v in shelf.contents)
    for number in present(shelf):
        assert b"".join(shelf.layout().layers(number).pieces()) == shelf.contents[7, number]
    report = Verification(shelf.root).run()
    assert (report["damaged"], report["missing"]) == ([], [])
