"""Uploads that end in the middle leave nothing behind."""

from __future__ import annotations

import os
import socket
import struct
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from nameko.standalone.rpc import ServiceRpcProxy

from tests.faults.attack import RECOVERY_SECONDS, Target
from tests.faults.diary import Diary, Person, new_person
from tests.faults.evidence import journal_over_rpc, read_backups, read_blobs, read_rows
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.process]

SENT_BYTES = 2_500_000
ANNOUNCED_BYTES = 2 * SENT_BYTES
ANSWER_SECONDS = 30.0
A_DAY_AND_AN_HOUR = 25 * 3600


def _traces(target: Target, person: Person) -> dict[str, Any]:
    """Everything in which an upload could leave a trace."""
    blobs, staging = read_blobs(target.system.data_dir / "blobs")
    return {
        "journal": [event["event_id"] for event in journal_over_rpc(target.system.amqp_uri)],
        "rows": read_rows(target.db_uri).files,
        "list": person.get("/files").json()["items"],
        "blobs": blobs,
        "staging": staging,
        "copies": sorted(read_backups(target.system.backup_dir).contents),
    }


def _staging(target: Target) -> set[Path]:
    return set((target.system.data_dir / "blobs" / "staging").iterdir())


class HalfUpload:
    """An upload of which half has been sent, and part of that has been written to the staging directory."""

    def __init__(self, target: Target, person: Person, multipart: bool = False) -> None:
        where = urlsplit(person.base_url)
        before = _staging(target)
        self.connection = socket.create_connection((where.hostname or "", where.port or 80), ANSWER_SECONDS)
        self.connection.sendall(_head(where.netloc, person.token, multipart) + os.urandom(SENT_BYTES))
        (self.staged,) = wait_until(lambda: _staging(target) - before, 30)

    def end(self) -> bytes:
        """FIN: nothing more will come. What the server says to it."""
        self.connection.shutdown(socket.SHUT_WR)
        with self.connection:
            return b"".join(iter(lambda: self.connection.recv(65536), b""))

    def reset(self) -> bytes:
        """RST: as when the client's machine loses its power and comes back."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        return b""


def _head(host: str, token: str, multipart: bool) -> bytes:
    path, kind, preamble = "/files?name=half.bin", "application/octet-stream", b""
    if multipart:
        path, kind = "/files", "multipart/form-data; boundary=limit"
        preamble = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="half.bin"\r\n\r\n'
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Authorization: Bearer {token}",
        f"Content-Type: {kind}",
        f"Content-Length: {ANNOUNCED_BYTES}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + preamble


@pytest.mark.parametrize("multipart", [False, True], ids=["raw", "multipart"])
@pytest.mark.parametrize("break_off", [HalfUpload.end, HalfUpload.reset], ids=["FIN", "RST"])
def test_truncated_upload_leaves_nothing(
    on_sqlite: Target, break_off: Callable[[HalfUpload], bytes], multipart: bool
) -> None:
    """Half an upload is 400 and leaves no file, event, blob, copy or staging file, however the connection ends."""
    person = new_person(on_sqlite.system.base_url, Diary())
    on_sqlite.wait_quiet()
    before = _traces(on_sqlite, person)
    upload = HalfUpload(on_sqlite, person, multipart)
    said = break_off(upload)
    assert not said or (said.startswith(b"HTTP/1.1 400 ") and b'"body_truncated"' in said), said
    wait_until(lambda: not upload.staged.exists(), 30)
    assert _traces(on_sqlite, person) == before


def test_gateway_killed_in_the_middle_of_an_upload(on_sqlite: Target) -> None:
    """The torso is visible nowhere after the restart, and swept a day later; uploads in progress are not."""
    system = on_sqlite.system
    person = new_person(system.base_url, Diary())
    on_sqlite.wait_quiet()
    before = _traces(on_sqlite, person)
    upload = HalfUpload(on_sqlite, person)
    staged = upload.staged
    on_sqlite.kill("gateway")
    upload.reset()
    system.wait_ready(RECOVERY_SECONDS)
    after = _traces(on_sqlite, person)
    assert after.pop("staging") == sorted([*before.pop("staging"), staged.name])
    assert after == before

    young = staged.with_name(uuid.uuid4().hex)  # as another gateway process would have it
    young.write_bytes(b"in progress")
    os.utime(staged, (time.time() - A_DAY_AND_AN_HOUR,) * 2)
    with ServiceRpcProxy("files", {"AMQP_URI": system.amqp_uri}, timeout=ANSWER_SECONDS) as files:
        assert files.sweep(dry_run=False)["uploads"] == 1
    assert not staged.exists()
    assert young.exists()
    young.unlink()
