"""Files in and out of the gateway on real sockets and a real blob directory: whole, or not at all."""

import base64
import hashlib
import io
import os
import random
import socket
import struct
import zipfile
from collections.abc import Iterator

import eventlet
import pytest
import requests

from tests.integration.gateway_process import (
    Desk,
    GatewayProcess,
    bearer,
    head_of,
    problem_in,
    problem_of,
    read_to_end,
    stand_ins,
    stop_all,
)
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

DESK = Desk()
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def gateway(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    services = stand_ins(broker.amqp_uri, DESK)
    gateway = GatewayProcess(broker.amqp_uri, tmp_path_factory.mktemp("gateway"))
    yield gateway
    gateway.stop()
    stop_all(services)


@pytest.fixture(autouse=True)
def desk(gateway: GatewayProcess) -> Iterator[Desk]:
    DESK.clear()
    before = gateway.blobs()
    yield DESK
    assert gateway.staged() == []
    if not DESK.batches and not DESK.rows:
        assert gateway.blobs() == before  # what was refused left no content


def content_of(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def post(gateway: GatewayProcess, path: str = "/files?name=a.bin", **kwargs) -> requests.Response:
    headers = {**bearer(), **kwargs.pop("headers", {})}
    return gateway.request("POST", path, headers=headers, **kwargs)


def raw_post(gateway: GatewayProcess, head: bytes, body: bytes = b"", close: bool = False) -> bytes:
    auth = bearer()["Authorization"].encode()
    request = b"POST /files?name=a HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n%s\r\n%s" % (auth, head, body)
    return gateway.raw(request, then_close_writing=close)


def stored(gateway: GatewayProcess, content: bytes) -> bool:
    sha256 = hashlib.sha256(content).hexdigest()
    path = gateway.blob_dir / sha256[:2] / sha256[2:4] / sha256
    return path.is_file() and path.read_bytes() == content


# -- uploads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 20_000, MIB - 1, MIB, MIB + 1, 5 * MIB + 7])
@pytest.mark.parametrize("chunked", [False, True])
def test_raw_upload(gateway: GatewayProcess, desk: Desk, size: int, chunked: bool) -> None:
    """A raw body of any size arrives whole, with a length or in chunks."""
    content = content_of(size)
    body = iter([content[i : i + 100_000] for i in range(0, size, 100_000)]) if chunked else content
    answer = post(gateway, "/files?name=r%C3%A9sum%C3%A9.pdf", data=body, headers={"X-Request-Id": "up-1"})
    assert answer.status_code == 201, answer.text
    sha256 = hashlib.sha256(content).hexdigest()
    assert answer.headers["ETag"] == f'"{sha256}"'
    assert answer.headers["Location"] == f"/files/{answer.json()['id']}"
    assert "path" not in answer.json()
    assert stored(gateway, content)
    [change] = desk.changes
    key = change.pop("change_key")
    assert len(key) == 32
    assert len(change.pop("session_id")) == 32
    assert change == {
        "op": "create",
        "by": 1,
        "address": "127.0.0.1",
        "key_id": None,
        "owner": 1,
        "user_id": 1,
        "name": "résumé.pdf",
        "path": f"{sha256[:2]}/{sha256[2:4]}/{sha256}",
        "media_type": "application/pdf",
        "request_id": "up-1",
    }


@pytest.mark.parametrize("size", [0, 20_000, MIB, 3 * MIB + 1])
def test_multipart_upload(gateway: GatewayProcess, desk: Desk, size: int) -> None:
    """A form as Postman or requests sends it, with other fields around the file."""
    content = content_of(size, 1).hex().encode()[:size]
    answer = post(gateway, "/files", files={"file": ("ä ö.txt", content, "text/html")}, data={"note": "x"})
    assert answer.status_code == 201, answer.text
    assert stored(gateway, content)
    assert desk.changes[0]["name"] == "ä ö.txt"
    assert desk.changes[0]["media_type"] == "text/plain"


def test_content_disposition_names_a_raw_body(gateway: GatewayProcess, desk: Desk) -> None:
    """Content-Disposition is the other way to name a raw body; an administrator's change has no owner."""
    headers = {**bearer(9, "admin"), "Content-Disposition": "attachment; filename*=UTF-8''%e2%82%ac.txt"}
    assert gateway.request("POST", "/files", data=b"x", headers=headers).status_code == 201
    [change] = desk.changes
    assert (change["name"], change["owner"], change["by"]) == ("€.txt", None, 9)


@pytest.mark.parametrize("said", ["image/png", "application/x-www-form-urlencoded", "text/html", "nonsense", ""])
def test_the_media_type_is_that_of_the_content(gateway: GatewayProcess, desk: Desk, said: str) -> None:
    """What a client says is never believed: the content decides, and the name where the content leaves a choice."""
    post(gateway, "/files?name=a.png", data=b"x", headers={"Content-Type": said})
    post(gateway, "/files?name=a.html", data=b"%PDF-1.7\n\xe2\xe3 " * 9, headers={"Content-Type": said})
    assert [change["media_type"] for change in desk.changes] == ["text/plain", "application/pdf"]


def test_a_raw_body_without_a_name_is_refused(gateway: GatewayProcess) -> None:
    """A raw upload needs a name."""
    assert problem_of(post(gateway, "/files", data=b"x"), 422, "invalid_input")["errors"][0]["field"] == "name"


def test_without_a_token_the_body_is_not_read(gateway: GatewayProcess) -> None:
    """401 comes before a byte of the body, and before 422 for the name."""
    answer = gateway.raw(b"POST /files?name=.. HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert problem_in(answer)["status"] == 401
    assert b"Connection: close" in answer


def test_a_client_that_sends_on_still_reads_the_refusal(gateway: GatewayProcess) -> None:
    """A client in the middle of a large body gets the answer, not a reset connection."""
    head = b"POST /files?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (8 * MIB)
    with gateway.connect() as sock:
        sock.sendall(head + content_of(8 * MIB))  # raises when the gateway closes under it
        assert problem_in(read_to_end(sock))["status"] == 401


def test_a_part_is_not_taken_for_the_whole(gateway: GatewayProcess, desk: Desk) -> None:
    """Content-Range on an upload is 400, and packed content 415, before their bytes."""
    path = f"/files/{desk.row('cd' * 32, 4)['id']}/content"
    for method, target in [("PUT", path), ("POST", "/files?name=a")]:
        for kwargs in ({"data": b"x"}, {"files": {"file": ("a", b"x")}}):
            ranged = {**bearer(), "Content-Range": "bytes 0-0/4"}
            problem_of(gateway.request(method, target, headers=ranged, **kwargs), 400, "bad_request")
            packed = {**bearer(), "Content-Encoding": "gzip"}
            problem_of(gateway.request(method, target, headers=packed, **kwargs), 415, "unsupported_media_type")
    assert desk.batches == []
    assert post(gateway, data=b"x", headers={"Content-Encoding": "identity"}).status_code == 201


def test_chunk_extensions_and_trailers(gateway: GatewayProcess) -> None:
    """Extensions and a trailer are read past, and the connection goes on."""
    body = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-T: a\r\n\r\n"
    second = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = raw_post(gateway, b"Transfer-Encoding: chunked\r\n", body + second)
    assert answer.count(b"HTTP/1.1 20") == 2
    assert stored(gateway, b"hello!")


def test_a_client_that_hangs_up_leaves_nothing(gateway: GatewayProcess, desk: Desk) -> None:
    """A connection reset in the middle of an upload leaves no unfinished file, no blob, no call."""
    with gateway.connect() as sock:
        auth = bearer()["Authorization"].encode()
        sock.sendall(b"POST /files?name=a HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n" % auth)
        sock.sendall(b"Content-Length: 10000000\r\n\r\n" + b"a" * 3 * MIB)
        wait_until(lambda: gateway.staged())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: not gateway.staged())
    assert desk.batches == []
    assert gateway.open_blobs() == 0


def test_expect_continue(gateway: GatewayProcess) -> None:
    """100 Continue comes when the body is wanted, and the upload works."""
    with gateway.connect() as sock:
        auth = bearer()["Authorization"].encode()
        sock.sendall(b"POST /files?name=a HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n" % auth)
        sock.sendall(b"Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert head_of(sock) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert read_to_end(sock).startswith(b"HTTP/1.1 201 ")


# -- multipart -------------------------------------------------------------------------------------------------------


# -- other changes ---------------------------------------------------------------------------------------------------


def test_put_replaces_the_content(gateway: GatewayProcess, desk: Desk) -> None:
    """PUT takes raw and multipart bodies; the name stays, the media type is that of the content."""
    row = desk.row("cd" * 32, 4)
    path = f"/files/{row['id']}/content"
    assert gateway.request("PUT", path, data=b"new", headers=bearer()).status_code == 200
    files = {"file": ("../other.txt", b"%PDF-1.7 newer", "text/csv")}
    assert gateway.request("PUT", path, files=files, headers=bearer()).status_code == 200
    first, second = desk.changes
    assert {"op": "update", "by": 1, "owner": 1, "file_id": row["id"]}.items() <= first.items()
    assert not {"name", "user_id"} & first.keys()
    assert not {"name", "user_id"} & second.keys()
    assert (first["media_type"], second["media_type"]) == ("text/plain", "application/pdf")
    assert stored(gateway, b"%PDF-1.7 newer")


def test_rename_and_delete(gateway: GatewayProcess, desk: Desk) -> None:
    """PATCH and DELETE are one change each; each has a key of its own."""
    row = desk.row("cd" * 32, 4)
    renamed = gateway.request("PATCH", f"/files/{row['id']}", json={"name": "b"}, headers=bearer())
    deleted = gateway.request("DELETE", f"/files/{row['id']}", headers=bearer())
    assert (renamed.status_code, deleted.status_code, deleted.content) == (200, 204, b"")
    assert [(c["op"], c.get("name")) for c in desk.changes] == [("update", "b"), ("delete", None)]
    assert len({c["change_key"] for c in desk.changes}) == 2


@pytest.mark.parametrize("body", [{"name": "a/b"}, {"name": None}, {}, {"name": "a", "version": 2}])
def test_a_bad_rename_calls_nobody(gateway: GatewayProcess, desk: Desk, body: dict) -> None:
    """A name that is not allowed, or another field, is 422 without an RPC."""
    problem_of(gateway.request("PATCH", "/files/1", json=body, headers=bearer()), 422, "invalid_input")
    assert desk.batches == []


def test_somebody_elses_file_does_not_exist(gateway: GatewayProcess, desk: Desk) -> None:
    """Other people's files are 404 in every way; administrators see them."""
    row = desk.add(b"secret", gateway.blob_dir, user_id=1)
    path = f"/files/{row['id']}"
    attempts = [
        gateway.get(path, headers=bearer(2)),
        gateway.get(f"{path}/content", headers=bearer(2)),
        gateway.request("PUT", f"{path}/content", data=b"x", headers=bearer(2)),
        gateway.request("PATCH", path, json={"name": "b"}, headers=bearer(2)),
        gateway.request("DELETE", path, headers=bearer(2)),
    ]
    details = {problem_of(answer, 404, "not_found")["detail"] for answer in attempts}
    assert details == {"There is nothing here."}
    assert gateway.get(f"{path}/content", headers=bearer(9, "admin")).content == b"secret"


# -- downloads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
def test_download(gateway: GatewayProcess, desk: Desk, size: int) -> None:
    """The bytes come back as they were, with the headers of the contract; HEAD gives the same headers."""
    content = content_of(size, 2)
    row = desk.add(content, gateway.blob_dir, name='a"; x=é.html', media_type="text/html")
    answer = gateway.get(f"/files/{row['id']}/content", headers=bearer())
    assert answer.content == content
    digest = hashlib.sha256(content)
    expected = {
        "Content-Type": "text/html",
        "Content-Length": str(size),
        "ETag": f'"{digest.hexdigest()}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
        "Last-Modified": "Tue, 24 Nov 2026 10:15:00 GMT",
        "Content-Disposition": "attachment; filename=\"a__ x__.html\"; filename*=UTF-8''a%22%3B%20x%3D%C3%A9.html",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
    }
    assert expected.items() <= dict(answer.headers).items()
    head = gateway.request("HEAD", f"/files/{row['id']}/content", headers={**bearer(), "Range": "bytes=0-0"})
    assert head.status_code == 200
    assert expected.items() <= dict(head.headers).items()
    assert gateway.open_blobs() == 0


@pytest.mark.parametrize("damage", ["flipped", "shorter", "longer", "missing"])
@pytest.mark.parametrize("size", [1000, MIB, 3 * MIB])
def test_damaged_content_never_arrives_whole(gateway: GatewayProcess, desk: Desk, damage: str, size: int) -> None:
    """A damaged blob is 500 blob_damaged, or, above one piece, a connection that breaks before the end."""
    row = desk.add(content_of(size, 3), gateway.blob_dir)
    path = gateway.blob_dir / row["path"]
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    damaged = {"flipped": content, "shorter": content[:-1], "longer": content + b"x", "missing": b""}[damage]
    path.write_bytes(damaged)
    if damage == "missing":
        path.unlink()
    try:
        answer = gateway.get(f"/files/{row['id']}/content", headers=bearer())
    except requests.exceptions.ChunkedEncodingError:
        assert size > MIB
    else:
        problem_of(answer, 500, "blob_damaged")
        assert str(gateway.blob_dir) not in answer.text
    finally:
        path.unlink(missing_ok=True)
    assert gateway.open_blobs() == 0


def raw_get(gateway: GatewayProcess, file_id: int, *fields: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (in lower case) and body of a GET with header lines as they are."""
    lines = [f"GET /files/{file_id}/content HTTP/1.1", "Host: x", f"Authorization: {bearer()['Authorization']}"]
    answer = gateway.raw("\r\n".join([*lines, "Connection: close", *fields, "", ""]).encode("latin-1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *pairs = head.decode("latin-1").split("\r\n")
    headers = [pair.lower().split(": ", 1) for pair in pairs]
    assert len({name for name, _ in headers}) == len(headers)  # each once
    return int(status.split()[1]), dict(headers), body  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-", 1000, 3 * MIB),
        ("bytes=-1000", 3 * MIB - 1000, 3 * MIB),
        (f"bytes=-{4 * MIB}", 0, 3 * MIB),
        (f"bytes={MIB - 1}-{2 * MIB}", MIB - 1, 2 * MIB + 1),
        (f"bytes={3 * MIB - 1}-{9 * MIB}", 3 * MIB - 1, 3 * MIB),
    ],
)
def test_a_part(gateway: GatewayProcess, desk: Desk, wanted: str, start: int, stop: int) -> None:
    """206 with exactly those bytes, which part it is, and the headers of the whole."""
    content = content_of(3 * MIB, 5)
    row = desk.add(content, gateway.blob_dir)
    status, headers, body = raw_get(gateway, row["id"], f"Range: {wanted}")
    assert (status, body == content[start:stop]) == (206, True)
    assert headers["content-range"] == f"bytes {start}-{stop - 1}/{len(content)}"
    assert headers["content-length"] == str(stop - start)
    whole = gateway.request("HEAD", f"/files/{row['id']}/content", headers=bearer()).headers
    for name in ("ETag", "Last-Modified", "Content-Disposition", "Content-Type", "Cache-Control", "Accept-Ranges"):
        assert headers[name.lower()] == whole[name].lower()
    assert headers["repr-digest"] == whole["Repr-Digest"].lower()
    assert gateway.open_blobs() == 0


@pytest.mark.parametrize(("wanted", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_a_part_that_does_not_exist(gateway: GatewayProcess, desk: Desk, wanted: str, size: int) -> None:
    """416 says how much there is."""
    row = desk.add(content_of(size, 6), gateway.blob_dir)
    answer = gateway.get(f"/files/{row['id']}/content", headers={**bearer(), "Range": wanted})
    problem_of(answer, 416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    "fields",
    [
        ["Range: bytes=0-1,4-5"],
        ["Range: bytes=5-2"],
        ["Range: bytes=\xe9-"],
        ["Range: lines=0-1"],
        ["Range:"],
        ["Range: bytes=0-1", "Range: bytes=4-5"],
        ["Range: bytes=0-1", 'If-Range: "another"'],
        ["Range: bytes=0-1", "If-Range: Tue, 24 Nov 2026 10:14:00 GMT"],
        ["Range: bytes=99-", 'If-Range: "another"'],
        ["If-Range: *"],
    ],
)
def test_all_of_it_instead_of_a_part(gateway: GatewayProcess, desk: Desk, fields: list[str]) -> None:
    """200 for what is no single range, and when the client's rest is of another content."""
    row = desk.add(b"0123456789", gateway.blob_dir)
    status, headers, body = raw_get(gateway, row["id"], *fields)
    assert (status, body, "content-range" in headers) == (200, b"0123456789", False)


@pytest.mark.parametrize("condition", ["etag", "date"])
def test_a_part_of_the_same_content(gateway: GatewayProcess, desk: Desk, condition: str) -> None:
    """A broken download goes on where it stopped, by tag or by date."""
    row = desk.add(b"0123456789", gateway.blob_dir)
    value = {"etag": f'"{row["sha256"]}"', "date": "Tue, 24 Nov 2026 10:15:00 GMT"}[condition]
    assert raw_get(gateway, row["id"], "Range: bytes=4-", f"If-Range: {value}")[::2] == (206, b"456789")


def test_nothing_new(gateway: GatewayProcess, desk: Desk) -> None:
    """304 has no body and no length, says the tag, and the connection goes on. It comes before a Range is looked at."""
    row = desk.add(b"0123456789", gateway.blob_dir)
    for field in (f'If-None-Match: W/"{row["sha256"]}"', "If-Modified-Since: Tue, 24 Nov 2026 10:15:00 GMT"):
        status, headers, body = raw_get(gateway, row["id"], field, "Range: bytes=99-")
        assert (status, body) == (304, b"")
        assert (headers["etag"], headers["cache-control"]) == (f'"{row["sha256"]}"', "private, no-cache")
        assert not {"content-length", "content-type", "transfer-encoding", "content-disposition"} & headers.keys()
    request = f"GET /files/{row['id']}/content HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer()['Authorization']}\r\n"
    last = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = gateway.raw(f"{request}If-None-Match: *\r\n\r\n{last}".encode())
    assert (answer.count(b"HTTP/1.1 304 "), answer.count(b"HTTP/1.1 200 ")) == (1, 1)


def test_something_new(gateway: GatewayProcess, desk: Desk) -> None:
    """Another tag gets the content, whatever a date says; HEAD answers the same as GET."""
    row = desk.add(b"0123456789", gateway.blob_dir)
    given = {**bearer(), "If-None-Match": '"x"', "If-Modified-Since": "Tue, 24 Nov 2037 10:15:00 GMT"}
    assert gateway.get(f"/files/{row['id']}/content", headers=given).content == b"0123456789"
    assert gateway.request("HEAD", f"/files/{row['id']}/content", headers=given).status_code == 200
    given["If-None-Match"] = "*"
    assert gateway.request("HEAD", f"/files/{row['id']}/content", headers=given).status_code == 304


def test_metadata_is_always_sent(gateway: GatewayProcess, desk: Desk) -> None:
    """The tag of metadata is that of the content, and a rename does not change it: no 304."""
    row = desk.add(b"0123456789", gateway.blob_dir)
    answer = gateway.get(f"/files/{row['id']}", headers={**bearer(), "If-None-Match": f'"{row["sha256"]}"'})
    assert (answer.status_code, answer.json()["id"]) == (200, row["id"])


def test_another_version_than_wanted(gateway: GatewayProcess, desk: Desk) -> None:
    """If-Match keeps a client from reading a version that it does not mean."""
    row = desk.add(b"0123456789", gateway.blob_dir)
    path = f"/files/{row['id']}/content"
    problem_of(gateway.get(path, headers={**bearer(), "If-Match": '"x"'}), 412, "precondition_failed")
    assert gateway.get(path, headers={**bearer(), "If-Match": '"v1"'}).content == b"0123456789"


@pytest.mark.parametrize("damage", ["shorter", "longer", "missing"])
def test_a_part_of_damaged_content(gateway: GatewayProcess, desk: Desk, damage: str) -> None:
    """Another size is noticed although a part has no hash."""
    row = desk.add(content_of(1000, 7), gateway.blob_dir)
    path = gateway.blob_dir / row["path"]
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"shorter": b"x" * 999, "longer": b"x" * 1001}[damage])
    answer = gateway.get(f"/files/{row['id']}/content", headers={**bearer(), "Range": "bytes=0-9"})
    path.unlink(missing_ok=True)
    problem_of(answer, 500, "blob_damaged")


def test_a_reader_that_goes_away_closes_the_blob(gateway: GatewayProcess, desk: Desk) -> None:
    """A download that nobody reads to the end leaves no descriptor open."""
    row = desk.add(content_of(30 * MIB, 4), gateway.blob_dir)
    with requests.get(f"{gateway.url}/files/{row['id']}/content", headers=bearer(), stream=True, timeout=20) as answer:
        assert answer.raw.read(1000)
        assert gateway.open_blobs() == 1
    wait_until(lambda: gateway.open_blobs() == 0)


# -- archives --------------------------------------------------------------------------------------------------------


def archived(gateway: GatewayProcess, ids: str, method: str = "GET", **kwargs) -> requests.Response:
    return gateway.request(method, f"/files/archive?ids={ids}", headers=kwargs.pop("headers", bearer()), **kwargs)


def test_an_archive(gateway: GatewayProcess, desk: Desk) -> None:
    """A ZIP of the files named, in their folders, with their times; its length is known, and HEAD says it too."""
    large, small = content_of(3 * MIB + 5, 10), content_of(100, 11)
    desk.add(large, gateway.blob_dir, name="plan.pdf", folder="clients/größe")
    desk.add(small, gateway.blob_dir, name="plan.pdf", folder="clients/größe")
    desk.add(b"", gateway.blob_dir, name="leer")
    answer = archived(gateway, "1,2,3")
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(answer.content)))
    expected = {
        "Content-Type": "application/zip",
        "Content-Disposition": 'attachment; filename="documents.zip"',
        "Accept-Ranges": "none",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    assert expected.items() <= dict(answer.headers).items()
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == ["clients/größe/plan.pdf", "clients/größe/plan (2).pdf", "leer"]
        assert [opened.read(name) for name in opened.namelist()] == [large, small, b""]
        assert opened.getinfo("leer").date_time == (2026, 11, 24, 10, 15, 0)
    head = archived(gateway, "1,2,3", "HEAD")
    assert (head.status_code, head.headers["Content-Length"]) == (200, answer.headers["Content-Length"])
    assert gateway.open_blobs() == 0


def test_an_archive_of_a_folder_asks_for_all_below_it(gateway: GatewayProcess, desk: Desk) -> None:
    """Of the caller's files only, and it is called as the folder."""
    desk.add(b"x", gateway.blob_dir, folder="clients/acme/2026")
    answer = gateway.get("/files/archive?folder=clients/acme", headers=bearer(9, "admin"))
    assert answer.headers["Content-Disposition"] == 'attachment; filename="acme.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        assert opened.namelist() == ["clients/acme/2026/a.txt"]
    [(method, query)] = desk.calls
    assert (method, query["user_id"], query["folder"], query["recursive"]) == ("list", 9, "clients/acme", True)


def test_an_archive_with_files_that_are_not_there(gateway: GatewayProcess, desk: Desk) -> None:
    """404 for all of it names them; somebody else's are not there either. An administrator gets everybody's."""
    desk.add(b"mine", gateway.blob_dir)
    desk.add(b"other", gateway.blob_dir, user_id=2)
    problem = problem_of(archived(gateway, "1,2,77"), 404, "not_found")
    assert [each["message"] for each in problem["errors"]] == ["2 is not there", "77 is not there"]
    assert archived(gateway, "1,2", headers=bearer(9, "admin")).status_code == 200


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_an_archive_with_damaged_content(gateway: GatewayProcess, desk: Desk, size: int) -> None:
    """No ZIP that looks whole: 500 when it is noticed at once, otherwise a connection that breaks."""
    desk.add(b"good", gateway.blob_dir)
    row = desk.add(content_of(size, 12), gateway.blob_dir)
    path = gateway.blob_dir / row["path"]
    path.write_bytes(b"y" * size)
    try:
        answer = archived(gateway, "1,2")
    except requests.exceptions.ChunkedEncodingError:
        assert size > MIB
    else:
        problem_of(answer, 500, "blob_damaged")
        assert size < MIB
    finally:
        path.unlink()
    assert f'"content": "file {row["id"]}, sha256 {row["sha256"]}"' in gateway.program.output()
    assert gateway.open_blobs() == 0


def test_a_reader_of_an_archive_that_goes_away(gateway: GatewayProcess, desk: Desk) -> None:
    """Leaves no descriptor open."""
    for seed in (13, 14):
        desk.add(content_of(20 * MIB, seed), gateway.blob_dir)
    url = f"{gateway.url}/files/archive?ids=1,2"
    with requests.get(url, headers=bearer(), stream=True, timeout=20) as answer:
        assert answer.raw.read(1000)
        assert gateway.open_blobs() == 1
    wait_until(lambda: gateway.open_blobs() == 0)


def test_archive_is_no_file(gateway: GatewayProcess) -> None:
    """The path is for GET alone, and needs to know what to send."""
    problem_of(gateway.request("DELETE", "/files/archive", headers=bearer()), 405, "method_not_allowed")
    problem = problem_of(gateway.get("/files/archive", headers=bearer()), 422, "invalid_input")
    assert problem["errors"][0]["field"] == "folder"
    problem_of(gateway.get("/files/archive?ids=1"), 401, "unauthenticated")


# -- limits ----------------------------------------------------------------------------------------------------------


def pieces_of(size: int) -> Iterator[bytes]:
    piece = content_of(MIB, 5)
    for _ in range(size // MIB):
        yield piece


def test_memory_stays_flat(gateway: GatewayProcess, desk: Desk) -> None:
    """An upload and a download of 300 MB raise the gateway's memory by less than 32 MB, raw, as a form, as a ZIP."""
    size = 300 * MIB
    post(gateway, data=b"warm")
    before = gateway.rss_bytes()
    answer = post(gateway, data=pieces_of(size))
    assert answer.status_code == 201
    after_raw = gateway.peak_bytes()
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = (part for source in ([head], pieces_of(size), [b"\r\n--x--\r\n"]) for part in source)
    answer = post(gateway, "/files", data=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 201
    desk.rows[2]["size"] = size
    for path in ("/files/2/content", "/files/archive?ids=2"):
        received = 0
        with requests.get(gateway.url + path, headers=bearer(), stream=True, timeout=60) as answer:
            for piece in answer.iter_content(MIB):
                received += len(piece)
        assert received == int(answer.headers["Content-Length"]) >= size
    assert after_raw - before < 32 * MIB
    assert gateway.peak_bytes() - before < 32 * MIB


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only directories")
def test_a_store_that_cannot_be_written_as_user(gateway: GatewayProcess) -> None:
    """A read-only store is 503 storage_unavailable."""
    staging = gateway.blob_dir / "staging"
    staging.chmod(0o500)
    try:
        problem_of(post(gateway, data=b"x"), 503, "storage_unavailable")
    finally:
        staging.chmod(0o750)


def test_a_store_that_is_gone(gateway: GatewayProcess, desk: Desk) -> None:
    """A disk that fails is 503 storage_unavailable with Retry-After, and uploads work again after the repair."""
    staging = gateway.blob_dir / "staging"
    aside = gateway.blob_dir / "aside"
    staging.rename(aside)
    try:
        answer = post(gateway, data=b"x")
        problem_of(answer, 503, "storage_unavailable")
        assert answer.headers["Retry-After"] == "2"
    finally:
        aside.rename(staging)
    assert desk.batches == []
    assert post(gateway, data=b"x").status_code == 201


# -- calls that travel together --------------------------------------------------------------------------------------


def test_changes_wait_together(gateway: GatewayProcess, desk: Desk) -> None:
    """While one call is under way the next changes gather, and each gets its own outcome."""
    gate = eventlet.event.Event()
    desk.before_apply = lambda: gate.wait() if len(desk.batches) == 1 else None
    first = eventlet.spawn(post, gateway, "/files?name=0", data=b"0")
    wait_until(lambda: len(desk.batches) == 1)
    others = [eventlet.spawn(post, gateway, f"/files?name={n}", data=str(n).encode()) for n in range(1, 13)]
    wait_until(lambda: all(stored(gateway, str(n).encode()) for n in range(1, 13)))
    gate.send()
    answers = [thread.wait() for thread in [first, *others]]
    assert [(a.status_code, a.json()["name"]) for a in answers] == [(201, str(n)) for n in range(13)]
    assert 2 <= len(desk.batches) < 8


def test_a_service_that_hangs(gateway: GatewayProcess, desk: Desk) -> None:
    """A change without an answer is 503 within the deadline, with Retry-After."""
    gate = eventlet.event.Event()
    desk.before_apply = gate.wait
    answer = post(gateway, data=b"x")
    gate.send()
    problem_of(answer, 503, "rpc_timeout")
    assert answer.headers["Retry-After"] == "2"
    assert answer.elapsed.total_seconds() < 7


def test_a_copy_that_waited_too_long(gateway: GatewayProcess, desk: Desk) -> None:
    """409 in_progress after the RPC deadline for a request whose key another one is still using, undisturbed."""
    key = {"Idempotency-Key": "k"}
    with gateway.connect() as first:
        auth = bearer()["Authorization"]
        head = f"POST /files?name=a HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\nIdempotency-Key: k\r\n"
        first.sendall(head.encode() + b"Content-Length: 9\r\nConnection: close\r\n\r\n")
        second = eventlet.spawn(post, gateway, data=b"x", headers=key)
        for _ in range(8):  # the first sends on, or it would be cut for its silence
            first.sendall(b"a")
            with eventlet.Timeout(1, False):
                second.wait()
        problem_of(second.wait(), 409, "in_progress")
        first.sendall(b"a")
        assert read_to_end(first).startswith(b"HTTP/1.1 201 ")
    assert len(desk.changes) == 1
