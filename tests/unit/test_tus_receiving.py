"""A piece on its way to the disk: what counts afterwards, and that it is on disk before anybody hears of it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docsave_services.errors import (
    BadRequest,
    BodyTimeout,
    BodyTruncated,
    ChecksumMismatch,
    DocsaveError,
    StorageUnavailable,
    TooLarge,
)
from docsave_services.storage import CHUNK_BYTES, BlobStore, HeldUpload, UnfinishedUploads, UploadState
from gateway_http.tus.checksum import checksum_in
from gateway_http.tus.receiving import RunningHashes, receive
from tests.support.tus import checksum

LENGTH = 3 * CHUNK_BYTES


class Body:
    """Gives what it is made of; an error of it is raised."""

    def __init__(self, *parts: bytes | Exception, announced: int | None = None) -> None:
        self._parts = list(parts)
        self.announced = announced

    def read_some(self) -> bytes:
        part = self._parts.pop(0) if self._parts else b""
        if isinstance(part, Exception):
            raise part
        return part


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldUpload]:
    store = BlobStore(tmp_path)
    store.prepare()
    held = UnfinishedUploads(store, 100.0).create(1, UploadState(length=LENGTH, metadata="", name="a"))
    held.append([b"begun "])
    yield held
    held.release()


def take(held: HeldUpload, body: Body, header: str | None = None, hashes: RunningHashes | None = None) -> None:
    receive(body, held, LENGTH, TooLarge(), checksum_in(header), hashes or RunningHashes())  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [BodyTruncated(), BodyTimeout()])
def test_what_came_before_the_client_went_away_is_kept(held: HeldUpload, error: DocsaveError) -> None:
    """Every byte of it, also those that were not written yet, and their hash."""
    hashes = RunningHashes()
    with pytest.raises(type(error)):
        take(held, Body(b"x" * CHUNK_BYTES, b"tail", error), hashes=hashes)
    assert held.content.read_bytes() == b"begun " + b"x" * CHUNK_BYTES + b"tail"
    assert held.offset == CHUNK_BYTES + 10


@pytest.mark.parametrize("error", [BodyTruncated(), BodyTimeout(), BadRequest(), None])
def test_a_piece_with_a_checksum_counts_as_a_whole_or_not_at_all(held: HeldUpload, error: DocsaveError | None) -> None:
    """Cut, malformed or different: the upload stands where it stood, without a mark."""
    body = Body(b"x" * CHUNK_BYTES, b"tail", *([error] if error else []))
    with pytest.raises(type(error) if error else ChecksumMismatch):
        take(held, body, checksum(b"other"))
    assert held.content.read_bytes() == b"begun "
    assert (held.offset, held.state.unverified_from) == (6, None)


def test_the_mark_stands_before_the_first_byte(held: HeldUpload, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the bytes and their check must find where they began."""
    marks = []
    append = HeldUpload.append

    def watched(self: HeldUpload, pieces: Any) -> None:
        marks.append(self.state.unverified_from)
        append(self, pieces)

    monkeypatch.setattr(HeldUpload, "append", watched)
    take(held, Body(b"piece"), checksum(b"piece"))
    assert marks[0] == 6
    assert held.state.unverified_from is None
    assert held.content.read_bytes() == b"begun piece"


@pytest.mark.parametrize(
    "body", [Body(b"x" * LENGTH, b"x"), Body(announced=LENGTH + 1), Body(b"some", BadRequest())], ids=str
)
def test_a_piece_that_is_too_long_or_malformed_is_thrown_away(held: HeldUpload, body: Body) -> None:
    """Announced or not, nothing of it stays."""
    with pytest.raises((TooLarge, BadRequest)):
        take(held, body)
    assert held.content.read_bytes() == b"begun "


def test_a_piece_is_on_disk_before_it_counts(held: HeldUpload, monkeypatch: pytest.MonkeyPatch) -> None:
    """When receive returns, all bytes were there at the last fsync of the content."""
    synced = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        fsync(fd)
        if os.path.samestat(os.fstat(fd), held.content.stat()):
            synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fsync", watched)
    take(held, Body(b"x" * CHUNK_BYTES, b"tail"))
    assert synced[-1] == held.offset == CHUNK_BYTES + 10


def test_a_full_disk_keeps_what_it_took(held: HeldUpload, monkeypatch: pytest.MonkeyPatch) -> None:
    """503; the offset is that of the bytes which fitted, and their hash is read again."""
    write = os.write

    def full(fd: int, piece: Any) -> int:
        if held.offset >= 10:
            raise OSError(28, "No space left on device")
        return write(fd, piece[:4])

    hashes = RunningHashes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StorageUnavailable):
            take(held, Body(b"0123456789"), hashes=hashes)
    assert (held.offset, held.content.read_bytes()) == (10, b"begun 0123")
    assert hashes.at(held.id, 10) is None


def test_the_hash_goes_on_from_piece_to_piece(tmp_path: Path) -> None:
    """From the first byte on; a piece that is thrown away leaves it as it was."""
    store = BlobStore(tmp_path)
    store.prepare()
    held = UnfinishedUploads(store, 100.0).create(1, UploadState(length=LENGTH, metadata="", name="a"))
    hashes = RunningHashes()
    take(held, Body(b"one"), hashes=hashes)
    with pytest.raises(ChecksumMismatch):
        take(held, Body(b"bad"), checksum(b"two"), hashes)
    take(held, Body(b"two"), checksum(b"two"), hashes)
    digest = hashes.at(held.id, 6)
    assert digest is not None
    assert digest.hexdigest() == "25b6746d5172ed6352966a013d93ac846e1110d5a25e8f183b5931f4688842a1"
    held.release()
