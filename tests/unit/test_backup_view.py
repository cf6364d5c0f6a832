"""The gateway's read-only view of the backup directory: what it opens, and what it never does."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from docsave_services.contracts import BACKUP_MARKER, StoredFile, StoredVersion
from docsave_services.errors import (
    BlobDamaged,
    BlobMissing,
    NotFound,
    RpcTimeout,
    StorageUnavailable,
    Unavailable,
    VersionThinned,
)
from gateway_http.backup_view import BackupView, HistorySource, PatchedSource, Turns
from gateway_http.schemas import VersionListQuery
from gateway_http.versions import Versions

CONTENT = os.urandom(1024 * 1024 + 5)
OLDER = CONTENT[:5000] + b"an older version" + CONTENT[5000:-7]
WHERE = "history/3/7/v000001_20261124T101500Z_a.txt"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with one version."""
    path = tmp_path / "backups"
    (path / WHERE).parent.mkdir(parents=True)
    (path / WHERE).write_bytes(CONTENT)
    (path / BACKUP_MARKER).write_text("{}")
    return path


def source(root: Path, path: str = WHERE) -> HistorySource:
    return HistorySource(BackupView(root), path, SHA256, len(CONTENT))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_content_is_read_whole_and_in_parts(root: Path) -> None:
    """Byte for byte; no descriptor stays open, whether the reader comes to the end or not."""
    before = descriptors()
    source(root).check()
    assert b"".join(source(root).whole()) == CONTENT
    assert b"".join(source(root).part(3, len(CONTENT) - 1)) == CONTENT[3:-1]
    left = source(root).whole()
    next(left)
    left.close()
    assert descriptors() == before


def test_the_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    """Where the directory is, is the operator's business."""
    (tmp_path / "link").symlink_to(root)
    assert b"".join(source(tmp_path / "link").whole()) == CONTENT


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../secret",
        "history/../../secret",
        "history//3",
        "history/3/7/",
        "a\0b",
        "history",
    ],
)
def test_no_path_leads_out_or_to_something_else(root: Path, tmp_path: Path, path: str) -> None:
    """Absolute, upwards, empty parts, a directory: there is no content there."""
    (tmp_path / "secret").write_bytes(CONTENT)
    before = descriptors()
    with pytest.raises(BlobMissing):
        source(root, path).check()
    with pytest.raises(BlobMissing):
        next(source(root, path).whole())
    assert descriptors() == before


@pytest.mark.parametrize("place", ["history", "history/3", WHERE])
def test_no_link_below_the_root_is_followed(root: Path, tmp_path: Path, place: str) -> None:
    """Not even one to where the content really is."""
    (root / place).rename(tmp_path / "elsewhere")
    (root / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BlobMissing):
        source(root).check()


def test_a_pipe_in_the_place_of_content_is_not_waited_for(root: Path) -> None:
    """Opening it would wait for a writer that never comes."""
    (root / WHERE).unlink()
    os.mkfifo(root / WHERE)
    with pytest.raises(BlobMissing):
        source(root).check()


def test_damage_is_found(root: Path) -> None:
    """A flipped bit before the last piece leaves, another length at once."""
    (root / WHERE).write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    pieces = source(root).whole()
    assert len(next(pieces)) < len(CONTENT)
    with pytest.raises(BlobDamaged):
        next(pieces)
    (root / WHERE).write_bytes(CONTENT[:-1])
    for look in (lambda: next(source(root).whole()), lambda: next(source(root).part(0, 1)), source(root).check):
        with pytest.raises(BlobDamaged):
            look()


@pytest.mark.parametrize("gone", ["marker", "all"])
def test_an_unmounted_directory_is_unavailable(root: Path, tmp_path: Path, gone: str) -> None:
    """Without its mark nothing is read from it, and content is not called missing."""
    if gone == "marker":
        (root / BACKUP_MARKER).unlink()
    else:
        root.rename(tmp_path / "disk")
    before = descriptors()
    with pytest.raises(Unavailable):
        source(root).check()
    with pytest.raises(Unavailable):
        next(source(root).whole())
    assert descriptors() == before


FILE: Any = {"id": 7, "user_id": 3, "version": 4, "deleted_at": None}
VERSION: Any = {
    "version": 1,
    "event": "File_create",
    "name": "a",
    "size": 1,
    "sha256": SHA256,
    "user_id": 3,
    "path": "",
}


def versions(root: Path, answer: Any) -> Versions:
    """Whose backup service answers this to everything."""

    def call(method: str, /, **arguments: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Versions(call, BackupView(root), root)  # type: ignore[arg-type]


def find(root: Path, answer: Any, number: int = 1) -> StoredVersion:
    file: StoredFile = FILE
    return versions(root, answer).find(file, number)


def test_another_persons_version_is_none(root: Path) -> None:
    """Whatever the backup says: the owner of the entry must be the owner of the file."""
    assert find(root, VERSION) == VERSION
    with pytest.raises(NotFound):
        find(root, {**VERSION, "user_id": 4})


def test_why_there_is_no_such_version(root: Path) -> None:
    """Made but not copied yet, or never made, or a deletion."""
    for answer, number, word in [
        (NotFound(), 4, "not in the backup yet"),
        (NotFound(), 5, "no such version"),
        ({**VERSION, "event": "File_delete"}, 2, "deletion"),
    ]:
        with pytest.raises(NotFound, match=word):
            find(root, answer, number)


def test_a_backup_that_does_not_answer_is_unavailable(root: Path) -> None:
    """Nothing was changed, so the outcome is not called unknown."""
    for error in (RpcTimeout(), Unavailable("backup is not running")):
        with pytest.raises(Unavailable) as caught:
            find(root, error)
        assert caught.value.code == "unavailable"
        with pytest.raises(Unavailable):
            versions(root, error).page(FILE, VersionListQuery())


@pytest.fixture
def patched(root: Path, tmp_path: Path) -> PatchedSource:
    """A version that lies as a patch against the one at ``WHERE``."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    patch = zstd.compress(OLDER, zstd_dict=zstd.ZstdDict(CONTENT, is_raw=True).as_prefix)
    (root / f"{WHERE}.zst").write_bytes(patch)
    sha256 = hashlib.sha256(OLDER).hexdigest()
    return PatchedSource(BackupView(root), WHERE, (f"{WHERE}.zst",), sha256, len(OLDER), scratch)


def test_a_patched_version_is_sent_whole_and_in_part(patched: PatchedSource) -> None:
    """The exact bytes, from a file that leaves nothing behind."""
    patched.check()
    assert b"".join(patched.whole()) == OLDER
    assert b"".join(patched.part(5, 4000)) == OLDER[5:4000]
    assert b"".join(patched.part(len(OLDER) - 1, len(OLDER))) == OLDER[-1:]
    assert list(patched.scratch.iterdir()) == []


def test_damage_anywhere_is_an_error_before_the_first_byte(patched: PatchedSource, root: Path) -> None:
    """Also for a part: it was all unpacked and compared."""
    (root / WHERE).write_bytes(bytes(1) + CONTENT[1:])
    for pieces in (patched.whole(), patched.part(0, 5)):
        with pytest.raises(BlobDamaged):
            next(pieces)
    (root / WHERE).unlink()
    with pytest.raises(BlobMissing):
        patched.check()
    with pytest.raises(BlobMissing):
        next(patched.whole())


def test_a_full_data_disk_is_said_so(patched: PatchedSource) -> None:
    """Not that the backup could not be read."""
    patched.scratch.rmdir()
    with pytest.raises(StorageUnavailable):
        next(patched.whole())


def test_few_wait_for_their_turn_to_unpack() -> None:
    """More are sent away at once, and those who wait in vain after a time; then the turn is free again."""
    for waiting_max, why in [(0, "Too many"), (1, "take long")]:
        turns = Turns(waiting_max, seconds_max=0.01)
        with turns.turn():
            assert _is_refused(turns, why)
        assert not _is_refused(turns, "")


def _is_refused(turns: Turns, why: str) -> bool:
    try:
        with turns.turn():
            return False
    except Unavailable as exc:
        return why in exc.detail


def test_thinned_content_is_gone(root: Path) -> None:
    """410, with the reason."""
    with pytest.raises(VersionThinned):
        find(root, {**VERSION, "thinned": True})
