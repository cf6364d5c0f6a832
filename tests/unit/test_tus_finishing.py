"""An upload that is whole becomes one file, wherever the process that does it is killed."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from docsave_services.errors import NotFound, RpcTimeout, UploadExpired
from docsave_services.storage import BlobStore, UnfinishedUploads, UploadState, blob_key
from gateway_http.tus.finishing import finish
from gateway_http.tus.receiving import RunningHashes
from tests.support.crashing import kill_at_each_step
from tests.support.finishing import USER_ID, finish_once, finish_until_killed

CONTENT = b"0123456789"
KEY = blob_key(hashlib.sha256(CONTENT).hexdigest())
STATE = UploadState(length=len(CONTENT), metadata="", name="a.txt")


def whole_upload(store: BlobStore) -> str:
    store.prepare()
    held = UnfinishedUploads(store, 3600.0).create(USER_ID, STATE)
    held.append([CONTENT])
    held.sync()
    held.release()
    return held.id


def test_a_crash_at_any_step_ends_in_one_file(tmp_path: Path) -> None:
    """Killed before each write, rename, fsync and call: whoever asks next gets the one file, and nothing is left."""
    (tmp_path / "0").mkdir()
    (tmp_path / "0/service.json").write_text("{}")
    upload_id = whole_upload(BlobStore(tmp_path / "0"))
    steps = kill_at_each_step(tmp_path, finish_until_killed, upload_id)
    assert steps > 15
    for n in range(1, steps):
        root = tmp_path / str(n)
        try:
            assert finish_once(root, upload_id) == 1
        except NotFound:
            assert n > steps / 2  # everything was done but the last fsyncs
        [made] = json.loads((root / "service.json").read_text()).values()
        assert made == {"id": 1, "path": KEY, "name": "a.txt"}
        assert (root / KEY).read_bytes() == CONTENT
        uploads = UnfinishedUploads(BlobStore(root), 3600.0)
        assert uploads.finished(USER_ID, upload_id).file_id == 1
        assert uploads.of_user(USER_ID).count == 0


def test_the_key_stays_the_same_when_the_outcome_is_unknown(tmp_path: Path) -> None:
    """Each try asks for the same change of the same blob."""
    store = BlobStore(tmp_path)
    upload_id = whole_upload(store)
    uploads, asked = UnfinishedUploads(store, 3600.0), []

    def register(state: UploadState, key: str) -> Any:
        asked.append((state.change_key, key))
        if len(asked) < 3:
            raise RpcTimeout
        return {"id": 7}

    for _ in range(2):
        held = uploads.hold(USER_ID, upload_id)
        assert held is not None
        with pytest.raises(RpcTimeout):
            finish(held, store, RunningHashes(), register)
        held.release()
    held = uploads.hold(USER_ID, upload_id)
    assert held is not None
    assert finish(held, store, RunningHashes(), register) == 7
    assert set(asked) == {(held.state.change_key, KEY)}


def test_content_that_was_swept_meanwhile_ends_the_upload(tmp_path: Path) -> None:
    """Whole, but asked for so late that its unreferenced blob is gone: 410, and nothing remains."""
    store = BlobStore(tmp_path)
    upload_id = whole_upload(store)
    uploads = UnfinishedUploads(store, 3600.0)
    held = uploads.hold(USER_ID, upload_id)
    assert held is not None
    held.save(replace(STATE, sha256=KEY[-64:], change_key="0" * 32))
    (store.root / held.move_into(store)).unlink()
    with pytest.raises(UploadExpired):
        finish(held, store, RunningHashes(), lambda state, key: pytest.fail("must not be asked"))
    held.release()
    with pytest.raises(NotFound):
        uploads.hold(USER_ID, upload_id)


@pytest.mark.parametrize("hashed", [None, 0, 4, 10])
def test_what_is_hashed_already_is_not_read_again(tmp_path: Path, hashed: int | None) -> None:
    """The running hash goes on from where it stands; without one all is read."""
    store, hashes = BlobStore(tmp_path), RunningHashes()
    held = UnfinishedUploads(store, 3600.0).hold(USER_ID, whole_upload(store))
    assert held is not None
    if hashed is not None:
        hashes.remember(held.id, hashed, hashlib.sha256(CONTENT[:hashed]))
    assert (hashes.at(held.id, 4) is not None) == (hashed == 4)
    keys = []
    finish(held, store, hashes, lambda state, key: keys.append(key) or {"id": 1})  # type: ignore[arg-type,func-returns-value,return-value]
    assert keys == [KEY]
    assert hashes.nearest(held.id)[0] == 0
    held.release()


def test_few_hashes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, so that memory has an end."""
    monkeypatch.setattr("gateway_http.tus.receiving.RUNNING_HASHES_MAX", 2)
    hashes = RunningHashes()
    for name in "abc":
        hashes.remember(name, 1, hashlib.sha256(b"x"))
    assert [hashes.nearest(name)[0] for name in "abc"] == [0, 1, 1]
