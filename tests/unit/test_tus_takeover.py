"""Getting an upload from whoever holds it."""

from pathlib import Path

import eventlet
import pytest

from docsave_services.errors import UploadLocked
from docsave_services.storage import BlobStore, HeldUpload, UnfinishedUploads, UploadState
from gateway_http.tus import takeover
from gateway_http.tus.takeover import Takeovers, hold


@pytest.fixture
def uploads(tmp_path: Path) -> UnfinishedUploads:
    return UnfinishedUploads(BlobStore(tmp_path), 100.0)


def held_one(uploads: UnfinishedUploads) -> HeldUpload:
    return uploads.create(1, UploadState(length=1, metadata="", name="a"))


def test_who_does_not_let_go_keeps_it(uploads: UnfinishedUploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting has an end: 423."""
    monkeypatch.setattr(takeover, "UPLOAD_LOCK_SECONDS", 0.2)
    held = held_one(uploads)
    with pytest.raises(UploadLocked):
        hold(uploads, 1, held.id)
    held.release()
    hold(uploads, 1, held.id).release()


def test_the_wanted_one_is_cut_and_no_other(uploads: UnfinishedUploads) -> None:
    """Of two connections only the one whose upload somebody waits for; the waiter then has it."""
    wanted, other = held_one(uploads), held_one(uploads)
    takeovers, cut = Takeovers(), []

    def let_go() -> None:
        cut.append("wanted")
        wanted.release()

    with (
        eventlet.Timeout(5),
        takeovers.allowed(wanted, let_go),
        takeovers.allowed(other, lambda: cut.append("other")),
    ):
        again = hold(uploads, 1, wanted.id)
        assert (again.id, cut) == (wanted.id, ["wanted"])
        assert not again.wanted.exists()
    again.release()
    other.release()


def test_looking_ends_with_the_last_holder_and_begins_again(uploads: UnfinishedUploads) -> None:
    """A process without uploads looks at nothing; the next one is watched like the first."""
    takeovers, cut = Takeovers(), eventlet.Event()
    first, second = held_one(uploads), held_one(uploads)
    with takeovers.allowed(first, lambda: None):
        pass
    eventlet.sleep(2 * takeover.LOOK_SECONDS)
    with takeovers.allowed(second, lambda: cut.send(True)), eventlet.Timeout(5):
        assert uploads.hold(1, second.id) is None
        assert cut.wait()
    first.release()
    second.release()
