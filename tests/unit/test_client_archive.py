"""The mirror's directory: the server's names and events, never overwritten, complete or not there."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import chain, history, names
from docsave_client import archive_names
from docsave_client import chain as client_chain
from docsave_client.archive import Archive, EntryConflict, event_json
from docsave_client.errors import ClientError
from tests.support.journal import Journal

NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255)


@given(NAME, st.integers(1, 10**7))
def test_names_are_those_of_the_backup(name: str, version: int) -> None:
    """Whatever a document is called."""
    at = "2026-11-24T10:15:00.123Z"
    assert archive_names.content_name(version, at, name) == names.content_name(version, at, name)
    assert archive_names.json_name(version) == names.json_name(version)


@pytest.mark.parametrize("name", ["CON.txt", "-rf", "..a", "x" * 300 + ".pdf", "é" * 255, "a:b?.txt", "end. "])
def test_odd_names_are_those_of_the_backup(name: str) -> None:
    """The ones with rules of their own."""
    assert archive_names.content_name(1, "2026-11-24T10:15:00Z", name) == names.content_name(
        1, "2026-11-24T10:15:00Z", name
    )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "server")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "mirror")


def event(journal: Journal, *args, **fields):
    return journal.add(*args, **{"folder": "", "labels": {}, "permanent": False, **fields})


def entries(archive: Archive) -> list[str]:
    return sorted(str(p.relative_to(archive.root / "history")) for p in (archive.root / "history").rglob("*"))


def test_entries_are_written_once_and_equal_content_is_kept_once(journal: Journal, archive: Archive) -> None:
    """Content that is here is not fetched again; a tombstone is its event alone."""
    first, same, gone = event(journal), event(journal, version=2, name="b.pdf"), event(journal, None, version=3)
    fetched = []

    def fetch(part: Path) -> None:
        fetched.append(part)
        shutil.copy(journal.blob_path(first), part)

    for each in (first, same, gone):
        assert not archive.has(each)
        archive.add(each, fetch)
        assert archive.has(each)
    assert len(fetched) == 1
    directory = archive.root / "history" / "3" / "7"
    assert sorted(p.name for p in directory.iterdir()) == [
        "v000001.json", "v000001_20261124T101500Z_report.pdf",
        "v000002.json", "v000002_20261124T101500Z_b.pdf",
        "v000003.json",
    ]  # fmt: skip
    assert {p.stat().st_mode & 0o777 for p in directory.iterdir()} == {0o444}
    assert (directory / "v000001.json").read_bytes() == history.event_json(first) == event_json(first)
    assert (directory / "v000002_20261124T101500Z_b.pdf").stat().st_nlink == 3


def test_what_is_there_is_never_replaced(journal: Journal, archive: Archive) -> None:
    """Another event or content for the same version is a conflict, and stays."""
    first = event(journal)
    archive.add(first, lambda part: shutil.copy(journal.blob_path(first), part))
    other = {**first, "event_id": 99}
    with pytest.raises(EntryConflict):
        archive.has(other)
    content = archive.root / "history/3/7/v000001_20261124T101500Z_report.pdf"
    content.chmod(0o644)
    content.write_bytes(b"CONTENT")
    with pytest.raises(EntryConflict):
        archive.has(first)
    assert content.read_bytes() == b"CONTENT"


def test_a_fetch_that_fails_leaves_no_entry(journal: Journal, archive: Archive) -> None:
    """And the next one completes it."""
    first = event(journal)

    def fail(part: Path) -> None:
        part.write_bytes(b"con")
        raise ClientError("broken off")

    with pytest.raises(ClientError):
        archive.add(first, fail)
    assert [name for name in entries(archive) if "v0" in name] == []
    assert not archive.has(first)
    archive.add(first, lambda part: shutil.copy(journal.blob_path(first), part))
    assert archive.has(first)


def test_what_a_kill_left_behind_is_cleared(journal: Journal, archive: Archive) -> None:
    """But for content that is under way."""
    incoming = archive.root / "incoming"
    for name in (".0123.tmp", "4567.copy", "89ab.part"):
        (incoming / name).write_bytes(b"x")
    archive.close()
    Archive(archive.root)
    assert [p.name for p in incoming.iterdir()] == ["89ab.part"]


def test_a_damaged_object_is_set_aside_and_fetched_again(journal: Journal, archive: Archive) -> None:
    """What others rely on is looked at first."""
    first, second = event(journal), event(journal, file_id=8)
    archive.add(first, lambda part: shutil.copy(journal.blob_path(first), part))
    item = archive.root / "objects" / first["sha256"][:2] / first["sha256"][2:4] / first["sha256"]
    item.unlink()
    item.write_bytes(b"CONTENT")
    archive.add(second, lambda part: shutil.copy(journal.blob_path(second), part))
    assert archive.has(second)
    assert archive.has(first)
    assert len(list(item.parent.glob("*.damaged-*"))) == 1


@pytest.mark.parametrize(
    "bad",
    [{"id": -1}, {"user_id": "../.."}, {"version": None}, {"sha256": "../x"}, {"type": "x"}, {"name": 5}, {"at": "x"}],
)
def test_nothing_in_an_event_leads_out(journal: Journal, archive: Archive, bad: dict) -> None:
    """Whatever the server sends."""
    wrong = {**event(journal), **bad}
    with pytest.raises(ClientError):
        archive.add(wrong, lambda part: part.write_bytes(b"content"))
    assert [name for name in entries(archive) if "v0" in name] == []


def test_one_process_writes(archive: Archive) -> None:
    """A second one is refused."""
    with pytest.raises(ClientError, match="another process"):
        Archive(archive.root)


def test_links_are_those_of_the_backup(journal: Journal) -> None:
    """Whatever the events hold; what comes again is not taken, what is left out is noticed."""
    server, mirror = chain.Links(0, chain.NOTHING), client_chain.Links()
    for number in range(5):
        each = event(journal, f"content {number}".encode(), version=number + 1, name=f"é{number}\u2028")
        assert not mirror.is_repeat(each)
        assert mirror.linked(each) == server.take(each)
        mirror.take(each)
        assert mirror.is_repeat(each)
    with pytest.raises(ClientError, match="left out"):
        mirror.is_repeat({**each, "event_id": 7})
