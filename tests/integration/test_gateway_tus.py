"""Resumable uploads at a real gateway: what arrived is kept, what is reported is on disk, and one file comes of it."""

import json
import random
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import eventlet
import pytest
from tusclient.client import TusClient as TusPy

from tests.integration.gateway_process import (
    MAX_FILE_BYTES,
    Desk,
    GatewayProcess,
    bearer,
    problem_in,
    problem_of,
    read_to_end,
    stand_ins,
    stop_all,
)
from tests.support.rabbitmq import Broker
from tests.support.tus import PIECE, TusClient, checksum, metadata
from tests.support.waiting import wait_until

DESK = Desk()
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def gateway(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    services = stand_ins(broker.amqp_uri, DESK)
    gateway = GatewayProcess(broker.amqp_uri, tmp_path_factory.mktemp("tus"))
    yield gateway
    gateway.stop()
    stop_all(services)


@pytest.fixture(autouse=True)
def desk(gateway: GatewayProcess) -> Desk:
    DESK.clear()
    return DESK


@pytest.fixture
def client(gateway: GatewayProcess) -> TusClient:
    return TusClient(gateway)


def content_of(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def saved(gateway: GatewayProcess, desk: Desk) -> list[tuple[str, bytes]]:
    """Name and content of each file that was made."""
    return [(row["name"], (gateway.blob_dir / row["path"]).read_bytes()) for row in desk.rows.values()]


# -- protocol --------------------------------------------------------------------------------------------------------


def test_options_tells_what_is_spoken(gateway: GatewayProcess) -> None:
    """OPTIONS needs no version and no token; it names versions, extensions, limits, and what a web page may send."""
    answer = gateway.request("OPTIONS", "/uploads", headers={"Origin": "https://crm.example"})
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    wanted = {"creation", "creation-with-upload", "creation-defer-length", "checksum", "termination", "expiration"}
    assert set(answer.headers["Tus-Extension"].split(",")) == wanted
    assert answer.headers["Tus-Max-Size"] == str(MAX_FILE_BYTES)
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256,md5"
    assert "Upload-Offset" in answer.headers["Access-Control-Allow-Headers"]
    assert "Docsave-File-Id" in answer.headers["Access-Control-Expose-Headers"]
    one = gateway.request("OPTIONS", "/uploads/" + "0" * 32)
    assert {"HEAD", "PATCH", "DELETE"} <= set(one.headers["Access-Control-Allow-Methods"].split(", "))


def test_an_upload_in_pieces_becomes_a_file(gateway: GatewayProcess, client: TusClient, desk: Desk) -> None:
    """Announced, sent in two pieces; the last one names the file, and so does a later HEAD."""
    content = content_of(3 * MIB + 5, 1)
    said = metadata(filename="offer é.txt", filetype="text/plain", folder="clients/acme", labels={"crm.deal": "42"})
    answer = client.create(len(content), **{"Upload-Metadata": said})
    assert (answer.status_code, answer.headers["Tus-Resumable"]) == (201, "1.0.0")
    path = answer.headers["Location"]
    assert path.startswith("/uploads/")
    assert parsedate_to_datetime(answer.headers["Upload-Expires"]).timestamp() > 0
    first = client.send(path, 0, content[:MIB])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, str(MIB))
    assert "Upload-Expires" in first.headers
    head = client.look(path)
    assert head.headers["Upload-Length"] == str(len(content))
    assert head.headers["Upload-Metadata"] == said
    assert head.headers["Cache-Control"] == "no-store"
    assert desk.batches == []
    last = client.send(path, MIB, content[MIB:])
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, str(len(content)))
    assert last.headers["Docsave-File-Id"] == "1"
    [change] = desk.changes
    assert (change["folder"], change["labels"]) == ("clients/acme", {"crm.deal": "42"})
    assert saved(gateway, desk) == [("offer é.txt", content)]
    again = client.look(path)
    assert again.headers["Docsave-File-Id"] == "1"
    assert again.headers["Upload-Offset"] == again.headers["Upload-Length"] == str(len(content))
    assert gateway.uploads() == []
    assert gateway.open_blobs() == 0


@pytest.mark.parametrize("content", [b"", b"x", content_of(MIB + 1, 2)])
def test_creation_with_all_the_content(gateway: GatewayProcess, client: TusClient, desk: Desk, content: bytes) -> None:
    """A file that fits one request needs one, an empty one not even a body."""
    answer = client.create(len(content), content or None)
    assert answer.status_code == 201
    assert answer.headers["Upload-Offset"] == str(len(content))
    assert answer.headers["Docsave-File-Id"] == "1"
    assert saved(gateway, desk) == [("a.bin", content)]


def test_creation_with_the_first_piece(client: TusClient) -> None:
    """The first piece may come along with the announcement."""
    answer = client.create(10, b"12345", **{"Upload-Checksum": checksum(b"12345")})
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "5")
    assert client.offset(answer.headers["Location"]) == 5


def test_a_creation_whose_content_is_refused_leaves_nothing(gateway: GatewayProcess, client: TusClient) -> None:
    """Nobody would know the address of what a damaged or broken POST left behind."""
    before = gateway.uploads()
    problem_of(client.create(3, b"123", **{"Upload-Checksum": checksum(b"124")}), 460, "checksum_mismatch")
    problem_of(client.create(3, b"1234"), 413, "too_large")
    said = {**client.headers, "Content-Type": PIECE, "Upload-Length": "9", "Upload-Metadata": metadata(filename="a")}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**said, "Host": "x", "Content-Length": "9"}.items())
    answer = gateway.raw(f"POST /uploads HTTP/1.1\r\n{lines}\r\n123".encode(), then_close_writing=True)
    assert problem_in(answer)["code"] == "body_truncated"
    assert gateway.uploads() == before


def test_a_length_that_comes_later(gateway: GatewayProcess, client: TusClient, desk: Desk) -> None:
    """Upload-Defer-Length: the length may be said with any later piece, once."""
    answer = client.create(None, **{"Upload-Defer-Length": "1"})
    path = answer.headers["Location"]
    assert client.send(path, 0, b"12").headers["Upload-Offset"] == "2"
    assert client.look(path).headers["Upload-Defer-Length"] == "1"
    problem_of(client.send(path, 2, b"", **{"Upload-Length": "1"}), 400, "bad_request")
    assert client.send(path, 2, b"", **{"Upload-Length": "4"}).status_code == 204
    problem_of(client.send(path, 2, b"", **{"Upload-Length": "5"}), 400, "bad_request")
    assert client.send(path, 2, b"34").headers["Docsave-File-Id"] == "1"
    assert saved(gateway, desk) == [("a.bin", b"1234")]


def test_post_may_stand_for_patch_and_delete(client: TusClient) -> None:
    """X-HTTP-Method-Override, for clients and proxies that know no PATCH."""
    path = client.begin(3)
    headers = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0", "Content-Type": PIECE}
    assert client.request("POST", path, headers=headers, data=b"12").headers["Upload-Offset"] == "2"
    assert client.request("POST", path, headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert client.look(path).status_code == 404


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1"])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
def test_another_version_is_refused(client: TusClient, method: str, version: str | None) -> None:
    """412 with the version that is spoken, and nothing happens."""
    path = client.begin(3)
    headers = {"Upload-Length": "3", "Upload-Metadata": metadata(filename="a"), "Upload-Offset": "0"}
    client.headers.pop("Tus-Resumable")
    if version:
        headers["Tus-Resumable"] = version
    answer = client.request(method, "/uploads" if method == "POST" else path, headers=headers)
    assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0")
    client.headers["Tus-Resumable"] = "1.0.0"
    assert client.offset(path) == 0


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Upload-Length": "-1"}, 400, "bad_request"),
        ({"Upload-Length": "x"}, 400, "bad_request"),
        ({"Upload-Length": "9" * 19}, 400, "bad_request"),
        ({}, 400, "bad_request"),
        ({"Upload-Length": "1", "Upload-Defer-Length": "1"}, 400, "bad_request"),
        ({"Upload-Defer-Length": "2"}, 400, "bad_request"),
        ({"Upload-Length": str(MAX_FILE_BYTES + 1)}, 413, "too_large"),
        ({"Upload-Length": "1", "Upload-Metadata": ""}, 422, "invalid_input"),
        ({"Upload-Length": "1", "Upload-Metadata": "filename"}, 422, "invalid_input"),
        ({"Upload-Length": "1", "Upload-Metadata": "filename ***"}, 400, "bad_request"),
        ({"Upload-Length": "1", "Upload-Metadata": metadata(filename="a/b")}, 422, "invalid_input"),
        ({"Upload-Length": "1", "Upload-Metadata": metadata(filename="a", folder="/a")}, 422, "invalid_input"),
        ({"Upload-Length": "1", "Upload-Metadata": metadata(filename="a", labels={"a": 1})}, 422, "invalid_input"),
        ({"Upload-Length": "1", "Upload-Checksum": "crc32 AAAA"}, 400, "bad_request"),
    ],
)
def test_an_announcement_that_is_refused_leaves_nothing(
    gateway: GatewayProcess, client: TusClient, headers: dict[str, str], status: int, code: str
) -> None:
    """Bad headers, lengths, names and labels: a coded error in the words of tus, and no upload."""
    before = gateway.uploads()
    answer = client.create(None, **headers)
    problem_of(answer, status, code)
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert gateway.uploads() == before


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"Content-Type": "application/octet-stream"}, b"1", 415, "unsupported_media_type"),
        ({"Upload-Offset": "1"}, b"1", 409, "offset_mismatch"),
        ({"Upload-Offset": "x"}, b"1", 400, "bad_request"),
        ({}, b"123456", 413, "too_large"),
        ({"Upload-Checksum": "sha1 AAAA"}, b"1", 400, "bad_request"),
        ({"Upload-Checksum": checksum(b"other")}, b"1", 460, "checksum_mismatch"),
        ({"Upload-Checksum": checksum(b"other", "md5")}, content_of(3, 0), 460, "checksum_mismatch"),
    ],
)
def test_a_piece_that_is_refused_changes_nothing(
    client: TusClient, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    """A wrong type, offset, size or checksum: a coded error, and the upload stands where it stood."""
    path = client.begin(5)
    problem_of(client.send(path, 0, content, **headers), status, code)
    assert client.offset(path) == 0
    assert client.send(path, 0, b"12345").headers["Docsave-File-Id"] == "1"


def test_more_content_in_chunks_than_announced(client: TusClient) -> None:
    """A chunked piece that goes on too long is thrown away."""
    path = client.begin(2 * MIB)
    problem_of(client.send(path, 0, (content_of(MIB) for _ in range(3))), 413, "too_large")  # type: ignore[arg-type]
    assert client.offset(path) == 0


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_checksum_guards_a_piece(gateway: GatewayProcess, client: TusClient, desk: Desk, algorithm: str) -> None:
    """A good piece counts, a damaged one is thrown away from where it began, and sent again."""
    content = content_of(4 * MIB, 3)
    path = client.begin(len(content))
    half = 2 * MIB
    good = client.send(path, 0, content[:half], **{"Upload-Checksum": checksum(content[:half], algorithm)})
    assert good.status_code == 204
    rest = {"Upload-Checksum": checksum(content[half:], algorithm)}
    answer = client.send(path, half, content[half:-1] + b"!", **rest)
    problem_of(answer, 460, "checksum_mismatch")
    assert answer.reason == "CHECKSUM MISMATCH"
    assert client.offset(path) == half
    assert client.send(path, half, content[half:], **rest).status_code == 204
    assert saved(gateway, desk) == [("a.bin", content)]


def test_termination(gateway: GatewayProcess, client: TusClient, desk: Desk) -> None:
    """DELETE removes an upload with its bytes; the file of a finished one stays."""
    before = gateway.uploads()
    path = client.begin(10)
    client.send(path, 0, b"123")
    assert client.request("DELETE", path).status_code == 204
    assert gateway.uploads() == before
    assert client.look(path).status_code == 404
    assert client.send(path, 3, b"4").status_code == 404
    done = client.create(1, b"x").headers["Location"]
    assert client.request("DELETE", done).status_code == 204
    assert client.look(done).status_code == 404
    assert saved(gateway, desk) == [("a.bin", b"x")]


def test_a_finished_upload_takes_nothing_more(client: TusClient, desk: Desk) -> None:
    """The end may be repeated, empty; more content or another offset is refused."""
    path = client.create(3, b"123").headers["Location"]
    assert client.send(path, 3, b"").headers["Docsave-File-Id"] == "1"
    problem_of(client.send(path, 0, b"123"), 409, "offset_mismatch")
    problem_of(client.send(path, 3, b"4"), 413, "too_large")
    assert len(desk.changes) == 1


# -- whose it is, and how much ---------------------------------------------------------------------------------------


def test_somebody_elses_upload_does_not_exist(gateway: GatewayProcess, client: TusClient) -> None:
    """404 for every call of another user, an administrator too; 401 without a token; 403 without the scope."""
    path = client.begin(3)
    for other in (TusClient(gateway, 2), TusClient(gateway, 2)):
        answers = [other.look(path), other.send(path, 0, b"123"), other.request("DELETE", path)]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        other.headers |= bearer(3, "admin")
        assert other.look(path).status_code == 404
    assert client.offset(path) == 0
    del client.headers["Authorization"]
    answer = client.create(3)
    problem_of(answer, 401, "unauthenticated")
    assert answer.headers["Tus-Resumable"] == "1.0.0"


def test_a_key_needs_the_scope_to_write(client: TusClient, desk: Desk) -> None:
    """An API key that may only read cannot upload."""
    desk.keys["dsk_" + "r" * 43] = {
        "key_id": 1, "user_id": 1, "role": "user", "version": 1, "scopes": ["files:read"], "expires_at": None,
    }  # fmt: skip
    client.headers["Authorization"] = "Bearer dsk_" + "r" * 43
    problem_of(client.create(3), 403, "insufficient_scope")


def test_the_quota_counts_unfinished_uploads(gateway: GatewayProcess, desk: Desk) -> None:
    """Files and everything under way count: 413 at the announcement; what a deferred length brings is counted too."""
    desk.answers["usage"] = {"used_bytes": 60, "quota_bytes": 100}
    client = TusClient(gateway, 77)
    path = client.begin(30)
    problem_of(client.create(11), 413, "quota_exceeded")
    assert client.request("DELETE", path).status_code == 204
    answer = client.create(None, **{"Upload-Defer-Length": "1"})
    path = answer.headers["Location"]
    problem_of(client.send(path, 0, b"x" * 41), 413, "quota_exceeded")
    assert client.send(path, 0, b"x" * 25).status_code == 204
    problem_of(client.send(path, 25, b"", **{"Upload-Length": "41"}), 413, "quota_exceeded")
    assert client.send(path, 25, b"x" * 15, **{"Upload-Length": "40"}).headers["Docsave-File-Id"] == "1"


def test_a_quota_that_is_gone_at_the_end(client: TusClient, desk: Desk, gateway: GatewayProcess) -> None:
    """The files service has the last word; with room again, a HEAD makes the file."""
    path = client.begin(3)

    def full() -> None:
        desk.refusals.append({"ok": False, "code": "quota_exceeded", "detail": "full", "errors": []})

    desk.before_apply = full
    problem_of(client.send(path, 0, b"abc"), 413, "quota_exceeded")
    desk.before_apply = lambda: None
    assert client.look(path).headers["Docsave-File-Id"] == "1"
    assert saved(gateway, desk) == [("a.bin", b"abc")]


# -- broken connections ----------------------------------------------------------------------------------------------


def test_what_arrived_before_the_connection_broke_is_kept(
    gateway: GatewayProcess, client: TusClient, desk: Desk
) -> None:
    """After a reset in the middle of a piece the upload goes on from the last byte that came."""
    content = content_of(5 * MIB, 4)
    path = client.begin(len(content))
    sock = client.open_piece(path, 0, len(content), content[: 2 * MIB + 17])
    wait_until(lambda: _received(gateway, path) > MIB)
    arrived = _received(gateway, path)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    offset = client.offset(path)
    assert arrived <= offset <= 2 * MIB + 17  # a reset may overtake what the kernel had not given us
    assert client.send(path, offset, content[offset:]).status_code == 204
    assert saved(gateway, desk) == [("a.bin", content)]


def _received(gateway: GatewayProcess, path: str) -> int:
    [file] = gateway.blob_dir.glob(f"uploads/open/*/{path.rpartition('/')[2]}/content")
    return file.stat().st_size


@pytest.mark.parametrize("ending", ["closed", "stalled"])
def test_a_piece_that_ends_early(client: TusClient, ending: str) -> None:
    """Truncated (400) or silent for too long (408): every byte that came is kept."""
    path = client.begin(100)
    sock = client.open_piece(path, 0, 100, b"x" * 60)
    if ending == "closed":
        sock.shutdown(socket.SHUT_WR)
    assert read_to_end(sock).split(b" ")[1] == (b"400" if ending == "closed" else b"408")
    assert client.offset(path) == 60


def test_a_piece_with_a_checksum_that_ends_early_is_not_kept(client: TusClient) -> None:
    """The checksum of a part is unknown: nothing unverified stays."""
    path = client.begin(3 * MIB)
    sock = client.open_piece(path, 0, 3 * MIB, content_of(2 * MIB), **{"Upload-Checksum": checksum(b"")})
    sock.close()
    assert client.offset(path) == 0


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_a_newcomer_takes_over_from_a_silent_connection(
    gateway: GatewayProcess, client: TusClient, desk: Desk, method: str
) -> None:
    """The dead connection is cut, what it brought is kept, and the newcomer is answered long before a time-out."""
    path = client.begin(100)
    with client.open_piece(path, 0, 100, b"x" * 60) as sock, eventlet.Timeout(2.5):
        if method == "HEAD":
            assert client.offset(path) == 60
            assert client.send(path, 60, b"y" * 40).headers["Docsave-File-Id"] == "1"
            assert saved(gateway, desk) == [("a.bin", b"x" * 60 + b"y" * 40)]
        elif method == "PATCH":
            problem_of(client.send(path, 0, b"z"), 409, "offset_mismatch")
        else:
            assert client.request("DELETE", path).status_code == 204
        assert read_to_end(sock).split(b" ")[1:2] in ([], [b"400"])


def test_two_gateways_share_uploads(broker: Broker, gateway: GatewayProcess, desk: Desk, tmp_path: Path) -> None:
    """Another process on the same data takes over, goes on, and makes the file of what came through both."""
    (tmp_path / "data").symlink_to(gateway.directory / "data")
    other = GatewayProcess(broker.amqp_uri, tmp_path)
    try:
        here, there = TusClient(gateway), TusClient(other)
        content = content_of(3 * MIB, 5)
        path = here.begin(len(content))
        assert here.send(path, 0, content[:100]).status_code == 204
        with here.open_piece(path, 100, len(content) - 100, content[100 : 2 * MIB]), eventlet.Timeout(2.5):
            wait_until(lambda: _received(gateway, path) > MIB)
            offset = there.offset(path)
        assert offset == 2 * MIB
        assert there.send(path, offset, content[offset:-5]).status_code == 204
        assert here.send(path, len(content) - 5, content[-5:]).status_code == 204
        assert saved(gateway, desk) == [("a.bin", content)]
    finally:
        other.stop()


def test_a_slow_client_holds_up_nobody_else(client: TusClient) -> None:
    """While one connection holds its upload in silence, another upload is made and finished at once."""
    path = client.begin(100)
    with client.open_piece(path, 0, 100, b"x"), eventlet.Timeout(2.5):
        assert client.create(3, b"123").headers["Docsave-File-Id"] == "1"


# -- crashes and unknown outcomes ------------------------------------------------------------------------------------


def test_an_upload_goes_on_after_the_gateway_was_killed(gateway: GatewayProcess, client: TusClient, desk: Desk) -> None:
    """kill -9 in the middle of a piece: the next process reports what is on disk and finishes the upload."""
    content = content_of(4 * MIB, 6)
    path = client.begin(len(content))
    assert client.send(path, 0, content[:1000]).status_code == 204
    with client.open_piece(path, 1000, len(content) - 1000, content[1000 : 3 * MIB]):
        wait_until(lambda: _received(gateway, path) >= 2 * MIB)
        gateway.restart(signal.SIGKILL)
    offset = client.offset(path)
    assert 2 * MIB <= offset == _received(gateway, path)
    assert client.send(path, offset, content[offset:]).status_code == 204
    assert saved(gateway, desk) == [("a.bin", content)]


def test_an_unverified_piece_is_gone_after_the_gateway_was_killed(gateway: GatewayProcess, client: TusClient) -> None:
    """kill -9 while a piece with a checksum comes: nothing of it counts afterwards."""
    path = client.begin(4 * MIB)
    client.send(path, 0, b"1234")
    with client.open_piece(path, 4, 3 * MIB, content_of(2 * MIB), **{"Upload-Checksum": checksum(b"")}):
        wait_until(lambda: _received(gateway, path) > MIB)
        gateway.restart(signal.SIGKILL)
    assert client.offset(path) == 4


def test_an_unknown_outcome_ends_in_one_file(gateway: GatewayProcess, client: TusClient, desk: Desk) -> None:
    """The file is made but the answer comes too late: 503, then a HEAD tells the id of that same file."""
    path = client.begin(3)
    desk.before_apply = lambda: eventlet.sleep(5.5)
    problem_of(client.send(path, 0, b"abc"), 503, "rpc_timeout")
    wait_until(lambda: len(desk.rows) == 1)
    desk.before_apply = lambda: None
    head = client.look(path)
    assert (head.headers["Upload-Offset"], head.headers["Docsave-File-Id"]) == ("3", "1")
    assert client.send(path, 3, b"").headers["Docsave-File-Id"] == "1"
    assert saved(gateway, desk) == [("a.bin", b"abc")]
    assert len({change["change_key"] for change in desk.changes}) == 1
    assert path.rpartition("/")[2] not in gateway.uploads()


def test_a_creation_whose_file_could_not_be_made_says_where_to_ask(
    gateway: GatewayProcess, client: TusClient, desk: Desk
) -> None:
    """All bytes came with the POST but the files service failed: the problem has the Location."""

    def fail() -> None:
        raise RuntimeError("stand-in fails")

    desk.before_apply = fail
    answer = client.create(3, b"abc")
    problem_of(answer, 500, "internal_error")
    desk.before_apply = lambda: None
    assert client.look(answer.headers["Location"]).headers["Docsave-File-Id"] == "1"
    assert saved(gateway, desk) == [("a.bin", b"abc")]


def test_expiration(broker: Broker, tmp_path: Path) -> None:
    """An upload that was left alone is 410; progress puts the end off; a later look at a finished one ends too."""
    gateway = GatewayProcess(broker.amqp_uri, tmp_path, UPLOAD_LIFE_SECONDS=1)
    try:
        client = TusClient(gateway)
        path = client.begin(10)
        done = client.create(1, b"x").headers["Location"]
        wait_until(lambda: client.look(path).status_code == 410, 5)
        problem_of(client.send(path, 0, b"1"), 410, "upload_expired")
        wait_until(lambda: client.look(done).status_code == 410, 5)
    finally:
        gateway.stop()


# -- real clients ----------------------------------------------------------------------------------------------------


def test_tuspy_goes_on_after_a_restart(gateway: GatewayProcess, desk: Desk, tmp_path: Path) -> None:
    """The Python client sends pieces with checksums, stops, and goes on at another process by the same URL."""
    content = content_of(3 * MIB + 11, 7)
    file = tmp_path / "big.bin"
    file.write_bytes(content)
    client = TusPy(gateway.url + "/uploads", headers=bearer())
    told = {"filename": "big.bin", "filetype": "application/pdf"}
    uploader = client.uploader(str(file), chunk_size=MIB, metadata=told, upload_checksum=True)
    uploader.upload(stop_at=MIB)
    gateway.restart(signal.SIGKILL)
    again = client.uploader(str(file), chunk_size=MIB, url=uploader.url, upload_checksum=True)
    assert again.offset == MIB
    again.upload()
    assert again.request.response_headers["docsave-file-id"] == "1"
    assert saved(gateway, desk) == [("big.bin", content)]


def test_tuspy_with_an_empty_file(gateway: GatewayProcess, desk: Desk, tmp_path: Path) -> None:
    """Nothing but the announcement."""
    (tmp_path / "empty").touch()
    client = TusPy(gateway.url + "/uploads", headers=bearer())
    client.uploader(str(tmp_path / "empty"), metadata={"filename": "empty"}).upload()
    assert saved(gateway, desk) == [("empty", b"")]


def run_js(gateway: GatewayProcess, file: Path, **options: Any) -> "subprocess.Popen[str]":
    program = Path(__file__).parents[1] / "js" / "tus.js"
    pauses = [0, 100, 300, 1000, 1000, 2000]
    settings = {"headers": bearer(), "metadata": {"filename": file.name}, "retryDelays": pauses}
    arguments = ["node", str(program), gateway.url + "/uploads", str(file), json.dumps(settings | options)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("option", [None, "uploadDataDuringCreation", "uploadLengthDeferred", "overridePatchMethod"])
def test_tus_js_client(gateway: GatewayProcess, desk: Desk, tmp_path: Path, option: str | None) -> None:
    """The JavaScript client, in pieces of its own choice, with the ways it can be set to."""
    content = content_of(3 * MIB + 1, 8)
    file = tmp_path / "js.bin"
    file.write_bytes(content)
    options = {option: True} if option else {}
    output, _ = run_js(gateway, file, chunkSize=MIB, **options).communicate(timeout=30)
    assert json.loads(output.splitlines()[-1]) == {"success": "1"}
    assert saved(gateway, desk) == [("js.bin", content)]


def test_tus_js_client_survives_a_killed_gateway(gateway: GatewayProcess, desk: Desk, tmp_path: Path) -> None:
    """Killed in the middle of a piece and started again: the client asks for the offset and finishes by itself."""
    content = content_of(60 * MIB, 9)
    file = tmp_path / "js.bin"
    file.write_bytes(content)
    with run_js(gateway, file) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        wait_until(lambda: _received(gateway, first["url"]) > MIB)
        gateway.restart(signal.SIGKILL)
        output, _ = process.communicate(timeout=30)
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines[-1] == {"success": "1"}
    assert any("retry" in line for line in lines)
    assert saved(gateway, desk) == [("js.bin", content)]
