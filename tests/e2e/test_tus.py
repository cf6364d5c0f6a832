"""Resumable uploads in the live system: from the first piece to the copy in the backup, once."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.uploader import Uploader

from tests.e2e.accounts import Account, new_account
from tests.support.system import System
from tests.support.tus import PIECE, metadata
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

MIB = 1024 * 1024


@pytest.fixture
def ann(system: System) -> Account:
    """A person with an account."""
    return new_account(system.base_url, "ann")


def uploader_of(account: Account, file: Path, **options: object) -> Uploader:
    headers = {"Authorization": f"Bearer {account.token}"}
    client = TusClient(account.base_url + "/uploads", headers=headers)
    return client.uploader(str(file), chunk_size=MIB, **options)


def test_a_document_in_pieces_is_a_document_like_any_other(system: System, ann: Account, tmp_path: Path) -> None:
    """It can be read back byte for byte, is in its folder with its labels, and its copy is in the backup."""
    content = os.urandom(5 * MIB + 3)
    (tmp_path / "big.bin").write_bytes(content)
    told = {"filename": "big.bin", "folder": "clients/acme", "labels": '{"crm.deal": "42"}'}
    uploader = uploader_of(ann, tmp_path / "big.bin", metadata=told, upload_checksum=True)
    uploader.upload()
    file_id = int(uploader.request.response_headers["docsave-file-id"])
    file = ann.look(file_id).json()
    assert (file["name"], file["folder"], file["labels"]) == ("big.bin", "clients/acme", {"crm.deal": "42"})
    assert (file["size"], file["sha256"], file["version"]) == (len(content), hashlib.sha256(content).hexdigest(), 1)
    assert ann.download(file_id).content == content
    wait_until(lambda: ann.look(file_id).json()["backup"]["state"] == "protected", 30)


@pytest.fixture
def stopped_files(system: System) -> Iterator[int]:
    """The files service's process, standing still."""
    pid = system.hold_still("files")
    yield pid
    os.kill(pid, signal.SIGCONT)


def test_an_answer_that_never_came_makes_no_second_document(
    ann: Account, system: System, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The files service stands still when the last byte comes: 503. Afterwards a client that just goes on gets one."""
    (tmp_path / "a.bin").write_bytes(b"x" * (MIB + 1))
    uploader = uploader_of(ann, tmp_path / "a.bin", metadata={"filename": "a.bin"})
    uploader.upload(stop_at=MIB)
    pid = request.getfixturevalue("stopped_files")
    with pytest.raises(TusUploadFailed) as caught:
        uploader.upload()
    assert caught.value.status_code == 503
    os.kill(pid, signal.SIGCONT)

    def offset() -> int:
        try:
            return int(uploader.get_offset())
        except TusCommunicationError:
            return 0

    wait_until(lambda: offset() == MIB + 1, 30)
    files = ann.session.get(f"{system.base_url}/files").json()["items"]
    assert [(file["name"], file["size"], file["version"]) for file in files] == [("a.bin", MIB + 1, 1)]


def test_the_quota_of_an_account(system: System, ann: Account) -> None:
    """What is saved and what is under way count together, as an administrator has set it."""
    admin = Account(system.base_url, system.admin_login, system.admin_password)
    answer = admin.session.patch(f"{system.base_url}/users/{ann.id}", json={"quota_bytes": 100})
    assert answer.status_code == 200
    ann.save("a.txt", b"x" * 50)

    def begin(length: int) -> requests.Response:
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(length), "Upload-Metadata": metadata(filename="b")}
        return ann.session.post(f"{system.base_url}/uploads", headers=headers)

    first = begin(30)
    assert first.status_code == 201
    refused = begin(21)
    assert (refused.status_code, refused.json()["code"]) == (413, "quota_exceeded")
    headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": PIECE}
    url = system.base_url + first.headers["Location"]
    assert ann.session.patch(url, headers=headers, data=b"y" * 30).status_code == 204
    assert begin(21).json()["code"] == "quota_exceeded"
    assert begin(20).status_code == 201
