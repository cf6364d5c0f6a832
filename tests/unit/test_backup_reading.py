"""Versions and verification from the directory alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backup.catalogue import version_of, versions_of
from backup.content import holds
from backup.errors import Cancelled
from backup.history import History
from backup.verify import Finding, Report, Verification, absent
from docsave_services.contracts import Version
from docsave_services.errors import BlobDamaged, NotFound
from tests.support.journal import AT, Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "store")


@pytest.fixture
def root(tmp_path: Path, journal: Journal) -> Path:
    """Two users; file 7 with three versions and a deletion, file 8 with one."""
    path = tmp_path / "backup"
    path.mkdir()
    journal.add(b"one", version=1)
    journal.add(b"two", version=2, type="File_update")
    journal.add(b"two", version=3, type="File_update", name="renamed.pdf")
    journal.add(None, version=4)
    journal.add(b"two", file_id=8, user_id=4)
    history = History(path, journal.blobs)
    for event in journal.events:
        history.write(event)
    return path


def content_of(root: Path, file_id: int, version: int) -> Path:
    return next(root.glob(f"history/*/{file_id}/v{version:06d}_*"))


def listed(root: Path, file_id: int) -> list[Version]:
    """All versions of a file, which fit on one page."""
    page = versions_of(root, file_id)
    assert page["next"] is None
    return page["items"]


def found_in(report: Report) -> tuple[int, list[Finding], list[Finding]]:
    """What a pass says, without its figures."""
    return report["checked"], report["damaged"], report["missing"]


def entry_of(root: Path, version: int) -> Path:
    """The JSON of a version of file 7."""
    path = root / f"history/3/7/v{version:06d}.json"
    path.chmod(0o644)
    return path


def test_versions_are_listed_newest_first(root: Path, journal: Journal) -> None:
    """Every field the API shows comes from the entry; a deletion is a version too."""
    versions = listed(root, 7)
    assert [v["version"] for v in versions] == [4, 3, 2, 1]
    assert [v["event"] for v in versions] == ["File_delete", "File_update", "File_update", "File_create"]
    event = journal.events[2]
    expected = {"version": 3, "event": "File_update", "name": "renamed.pdf", "size": 3, "at": AT}
    later = {"media_type": "application/octet-stream", "folder": "", "labels": {}, "by": 3, "permanent": False}
    assert versions[1] == {**expected, **later, "sha256": event["sha256"]}


def test_an_incomplete_entry_is_no_version(root: Path) -> None:
    """Content without its JSON was left by a crash and is not shown."""
    (root / "history/3/7/v000004.json").unlink()
    assert [v["version"] for v in listed(root, 7)] == [3, 2, 1]
    for place in (root, root / "nowhere"):
        with pytest.raises(NotFound):
            versions_of(place, 99)


def test_versions_come_in_pages(root: Path) -> None:
    """Each page goes on below the one before; the last says that it is."""
    first = versions_of(root, 7, limit=3)
    assert ([v["version"] for v in first["items"]], first["next"]) == ([4, 3, 2], 2)
    last = versions_of(root, 7, before=first["next"], limit=3)
    assert ([v["version"] for v in last["items"]], last["next"]) == ([1], None)
    assert versions_of(root, 7, limit=4)["next"] is None
    assert versions_of(root, 7, before=1) == {"items": [], "next": None}


def test_a_version_says_where_its_content_lies(root: Path, journal: Journal) -> None:
    """Relative to the directory, with the owner; a deletion has none, and neither has content that is missing."""
    found = version_of(root, 7, 3)
    where = content_of(root, 7, 3)
    assert (found["path"], found["user_id"]) == (where.relative_to(root).as_posix(), 3)
    assert {key: value for key, value in found.items() if key not in ("path", "user_id")} == listed(root, 7)[1]
    assert version_of(root, 7, 4)["path"] is None
    where.unlink()
    assert version_of(root, 7, 3)["path"] is None
    for file_id, version in [(7, 5), (8, 2), (9, 1)]:
        with pytest.raises(NotFound):
            version_of(root, file_id, version)


def test_an_entry_of_the_first_release_is_still_read(root: Path) -> None:
    """It has no folder, labels and permanent; the rest is shown, and it verifies."""
    path = entry_of(root, 2)
    event = json.loads(path.read_bytes())
    path.write_text(json.dumps({k: v for k, v in event.items() if k not in ("folder", "labels", "permanent")}))
    shown = {"version", "event", "name", "size", "sha256", "at", "media_type", "by"}
    assert listed(root, 7)[2].keys() == shown
    assert version_of(root, 7, 2).keys() == shown | {"user_id", "path"}
    assert Verification(root).run()["damaged"] == []


def test_a_permanent_removal_is_a_tombstone(root: Path, journal: Journal) -> None:
    """An entry without content that says so; every copy stays."""
    before = sorted(root.rglob("*"))
    History(root, journal.blobs).write(journal.add(None, version=5, permanent=True))
    assert sorted(root.rglob("*")) == sorted([*before, root / "history/3/7/v000005.json"])
    assert (listed(root, 7)[0]["event"], listed(root, 7)[0]["permanent"]) == ("File_delete", True)
    assert found_in(Verification(root).run()) == (6, [], [])


def test_versions_past_a_million_keep_their_order(root: Path, journal: Journal) -> None:
    """The order is the number's, not the file name's."""
    history = History(root, journal.blobs)
    for version in (999_999, 1_000_000):
        history.write(journal.add(b"x", version=version, file_id=9))
    assert [v["version"] for v in listed(root, 9)] == [1_000_000, 999_999]


def test_an_undamaged_backup_verifies(root: Path) -> None:
    """Five entries, nothing to say."""
    assert found_in(Verification(root).run()) == (5, [], [])


@pytest.mark.parametrize("damage", [b"tw0", b"", b"two and more"])
def test_damaged_content_is_named_for_every_version_that_shares_it(root: Path, damage: bytes) -> None:
    """A flipped bit, a truncation and a longer file are all found, through every link to the same object."""
    path = content_of(root, 7, 2)
    path.chmod(0o644)
    path.write_bytes(damage)
    report = Verification(root).run()
    found = {(f["file_id"], f["version"], f["path"]) for f in report["damaged"]}
    assert found == {
        (7, 2, content_of(root, 7, 2).relative_to(root).as_posix()),
        (7, 3, content_of(root, 7, 3).relative_to(root).as_posix()),
        (8, 1, content_of(root, 8, 1).relative_to(root).as_posix()),
    }
    assert report["missing"] == []


def test_swapped_contents_are_damage(root: Path) -> None:
    """Whole content in the wrong place is wrong content."""
    one, two = content_of(root, 7, 1), content_of(root, 7, 2)
    one.rename(root / "aside")
    two.rename(one)
    (root / "aside").rename(two)
    assert {(f["file_id"], f["version"]) for f in Verification(root).run()["damaged"]} == {(7, 1), (7, 2)}


def test_what_is_missing_is_named(root: Path) -> None:
    """Content that was removed, and a version whose whole entry was."""
    content_of(root, 7, 1).unlink()
    content_of(root, 7, 2).unlink()
    (root / "history/3/7/v000002.json").unlink()
    report = Verification(root).run()
    assert [(f["file_id"], f["version"], f["problem"]) for f in report["missing"]] == [
        (7, 1, "the content is missing"),
        (7, 2, "no entry for this version"),
    ]
    assert report["damaged"] == []


def test_a_version_still_being_copied_is_not_missing(root: Path) -> None:
    """Copies are made in any order: a hole counts only below the place that was safe when the pass began."""
    content_of(root, 7, 2).unlink()
    (root / "history/3/7/v000002.json").unlink()
    assert Verification(root, copied=1).run()["missing"] == []
    assert [f["version"] for f in Verification(root, copied=3).run()["missing"]] == [2]


def test_a_removed_newest_version_is_found_with_the_journal(root: Path, journal: Journal) -> None:
    """The directory alone cannot know that there was one more."""
    (root / "history/3/7/v000004.json").unlink()
    assert Verification(root).run()["missing"] == []
    assert absent(root, journal.events) == [
        {
            "file_id": 7,
            "version": 4,
            "path": "history/3/7/v000004.json",
            "kind": "event",
            "problem": "no entry for this version",
        }
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 7}'])
def test_a_damaged_event_is_named(root: Path, text: str) -> None:
    """An event that cannot be read, or lacks what it must have."""
    entry_of(root, 1).write_text(text)
    assert [(f["file_id"], f["version"], f["path"]) for f in Verification(root).run()["damaged"]] == [
        (7, 1, "history/3/7/v000001.json")
    ]
    assert [v["version"] for v in listed(root, 7)] == [4, 3, 2]
    with pytest.raises(BlobDamaged):
        version_of(root, 7, 1)


def test_an_event_in_the_wrong_place_is_named(root: Path) -> None:
    """A JSON copied over from another version is not that version."""
    (root / "history/3/7/v000001.json").unlink()
    (root / "history/3/7/v000001.json").write_bytes((root / "history/3/7/v000003.json").read_bytes())
    assert [(f["file_id"], f["version"]) for f in Verification(root).run()["damaged"]] == [(7, 1)]
    assert [v["version"] for v in listed(root, 7)] == [4, 3, 2]
    with pytest.raises(BlobDamaged):
        version_of(root, 7, 1)


def test_shared_content_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links to one object cost one reading."""
    read: list[object] = []

    def noted(*args: object) -> bool:
        read.append(args)
        return holds(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("backup.verify.holds", noted)
    Verification(root).run()
    assert len(read) == 2


def test_a_verification_can_be_cancelled(root: Path) -> None:
    """The service does not wait for the end of a long pass when it stops."""
    with pytest.raises(Cancelled):
        Verification(root, lambda: True).run()
