"""Saving over HTTP with the real services: preconditions, digests, quotas, repeats, references, batches."""

import base64
import hashlib
import json
import os
import signal
import socket
import struct
import uuid
from collections.abc import Iterator
from typing import Any

import eventlet
import pytest
import requests
from sqlalchemy import select

from docsave_services.db.file_models import IdempotencyKeyRow
from tests.integration.gateway_process import GatewayProcess, problem_in, problem_of, read_to_end
from tests.integration.served_gateway import Account, ServedGateway, served_gateway
from tests.support.mariadb import MariaDb
from tests.support.rabbitmq import Broker
from tests.support.stillness import hold_still
from tests.support.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def gateway(
    request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedGateway]:
    """Once on each database."""
    uri = ""
    if request.param == "mariadb":
        server: MariaDb = request.getfixturevalue("mariadb")
        uri = server.fresh_uri()
    with served_gateway(broker.amqp_uri, tmp_path_factory.mktemp("gateway"), uri) as started:
        yield started


@pytest.fixture(scope="module")
def strict(gateway: ServedGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Another gateway of the same system, which demands If-Match."""
    settings = {"DATA_DIR": gateway.env["DOCSAVE_DATA_DIR"], "DB_URI": gateway.env["DOCSAVE_DB_URI"]}
    started = GatewayProcess(
        gateway.env["DOCSAVE_AMQP_URI"], tmp_path_factory.mktemp("strict"), REQUIRE_IF_MATCH=1, **settings
    )
    started.blob_dir = gateway.blob_dir
    yield started
    started.stop()


@pytest.fixture
def anna(gateway: ServedGateway) -> Account:
    return Account(gateway)


@pytest.fixture(autouse=True)
def nothing_unfinished(gateway: ServedGateway) -> Iterator[None]:
    yield
    wait_until(lambda: gateway.staged() == [])


def new_key() -> str:
    return f"request {uuid.uuid4().hex}"


def form(*parts: tuple[str, str, bytes]) -> dict[str, Any]:
    """A multipart request of parts: parameters of their disposition, other headers, content."""
    made = [
        b"--x\r\nContent-Disposition: form-data; %s\r\n%s\r\n%s\r\n" % (head.encode(), more.encode(), content)
        for head, more, content in parts
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return {"data": b"".join(made) + b"--x--\r\n", "headers": headers}


def digest(content: bytes, algorithm: str = "sha-256") -> str:
    value = hashlib.new(algorithm.replace("-", ""), content).digest()
    return f"{algorithm}=:{base64.b64encode(value).decode()}:"


def events_of(gateway: ServedGateway, user_id: int) -> list[tuple[str, int]]:
    """Type and version of each event of somebody's files, in order."""
    with gateway.rpc() as rpc:
        items = rpc.files.changes(limit=1000, user_id=user_id)["items"]
    return [(item["type"], item["version"]) for item in items]


# -- the trash -------------------------------------------------------------------------------------------------------


def test_out_of_the_trash(gateway: ServedGateway, anna: Account) -> None:
    """Restoring is a new version with an ETag; what is not in the trash cannot be restored."""
    file = anna.save(b"one")
    path = f"/files/{file['id']}"
    problem_of(anna.ask("POST", f"{path}/restore"), 409, "not_deleted")
    assert anna.ask("DELETE", path).status_code == 204
    restored = anna.ask("POST", f"{path}/restore")
    assert (restored.status_code, restored.json()["version"], restored.json()["deleted_at"]) == (200, 3, None)
    assert restored.headers["ETag"] == f'"{file["sha256"]}"'
    assert anna.ask("GET", f"{path}/content").content == b"one"
    assert events_of(gateway, anna.id) == [("File_create", 1), ("File_delete", 2), ("File_create", 3)]


@pytest.mark.parametrize("in_trash", [False, True])
def test_away_for_good(gateway: ServedGateway, anna: Account, in_trash: bool) -> None:
    """A permanent removal takes a file away, out of the trash too, by its owner or an administrator only."""
    path = f"/files/{anna.save(b'one')['id']}"
    if in_trash:
        anna.ask("DELETE", path)
    problem_of(Account(gateway).ask("DELETE", f"{path}?permanent=true"), 404, "not_found")
    someone = Account(gateway, "admin") if in_trash else anna
    assert someone.ask("DELETE", f"{path}?permanent=true").status_code == 204
    problem_of(anna.ask("POST", f"{path}/restore"), 404, "not_found")
    problem_of(anna.ask("DELETE", f"{path}?permanent=true"), 404, "not_found")
    assert anna.ask("GET", "/files?deleted=true").json()["items"] == []
    assert anna.ask("GET", "/users/me/usage").json()["files"] == 0


@pytest.mark.parametrize("query", ["permanent=yes", "permanent=", "permanent=true&permanent=true", "force=true"])
def test_a_deletion_that_is_not_understood(anna: Account, query: str) -> None:
    """It is refused, not taken for another one."""
    path = f"/files/{anna.save(b'one')['id']}"
    problem_of(anna.ask("DELETE", f"{path}?{query}"), 422, "invalid_input")
    assert anna.ask("GET", path).ok


# -- folder, labels, usage -------------------------------------------------------------------------------------------


def test_folder_and_labels_of_a_new_file(anna: Account) -> None:
    """They come with the query of a raw body, or as fields of a form, before the file or after it."""
    labels = {"crm.deal": "42", "ort": "Zürich"}
    params = {"name": "a.txt", "folder": "clients/acme", "labels": json.dumps(labels)}
    raw = anna.ask("POST", "/files", params=params, data=b"x")
    folder = ('name="folder"', "", b"clients/acme")
    label = ('name="labels"', "", json.dumps(labels).encode())
    content = ('name="file"; filename="a.txt"', "Content-Type: image/png\r\n", b"x")
    forms = [
        anna.ask("POST", "/files", **form(*parts)) for parts in ([folder, content, label], [content, label, folder])
    ]
    for answer in [raw, *forms]:
        assert answer.status_code == 201, answer.text
        file = answer.json()
        assert (file["folder"], file["labels"], file["media_type"]) == ("clients/acme", labels, "text/plain")


@pytest.mark.parametrize(
    ("query", "parts", "field"),
    [
        ("folder=a//b", [], "folder"),
        ("folder=/a", [], "folder"),
        ("labels=[]", [], "labels"),
        ("labels=nonsense", [], "labels"),
        ('labels={"a":1}', [], "labels"),
        ('labels={"a":"1","a":"2"}', [], "labels"),
        ("", [('name="folder"', "", b"../x")], "folder"),
        ("", [('name="labels"', "", b"{")], "labels"),
        ("folder=a", [('name="folder"', "", b"b")], "folder"),
        ("", [('name="folder"', "", b"a"), ('name="folder"', "", b"b")], "folder"),
    ],
)
def test_bad_fields_keep_nothing(
    gateway: ServedGateway, anna: Account, query: str, parts: list[tuple[str, str, bytes]], field: str
) -> None:
    """They are named, and the content that came with them is not kept."""
    before = gateway.blobs()
    content = ('name="file"; filename="a.txt"', "", os.urandom(20))
    request = form(content, *parts) if parts else {"data": os.urandom(20)}
    problem = problem_of(anna.ask("POST", f"/files?name=a&{query}", **request), 422, "invalid_input")
    assert problem["errors"][0]["field"] == field
    assert (gateway.blobs(), anna.files()) == (before, [])


def test_a_patch_changes_what_it_names(anna: Account) -> None:
    """Name, folder and labels, each alone or together; labels are replaced as a whole; nothing else is a change."""
    path = f"/files/{anna.save(b'one')['id']}"
    one = anna.ask("PATCH", path, json={"folder": "a/b", "labels": {"x": "1"}}).json()
    assert (one["version"], one["name"], one["folder"], one["labels"]) == (2, "a.txt", "a/b", {"x": "1"})
    two = anna.ask("PATCH", path, json={"labels": {"y": "2"}, "name": "b.txt"}).json()
    assert (two["version"], two["name"], two["folder"], two["labels"]) == (3, "b.txt", "a/b", {"y": "2"})
    assert anna.ask("PATCH", path, json={"folder": "a/b"}).json()["version"] == 3
    assert anna.ask("PATCH", path, json={"folder": "", "labels": {}}).json()["labels"] == {}
    for bad in ({}, {"folder": None}, {"labels": None}, {"labels": {"x": 1}}, {"labels": {"-": "1"}}, {"size": 1}):
        problem_of(anna.ask("PATCH", path, json=bad), 422, "invalid_input")


def test_usage(gateway: ServedGateway, anna: Account) -> None:
    """What counts is there, the trash included."""
    anna.save(b"12345")
    anna.ask("DELETE", f"/files/{anna.save(b'123')['id']}")
    expected = {"user_id": anna.id, "files": 2, "used_bytes": 8, "quota_bytes": None}
    assert anna.ask("GET", "/users/me/usage").json() == expected


# -- preconditions ---------------------------------------------------------------------------------------------------


def test_if_match_guards_every_change(anna: Account) -> None:
    """A tag that does not fit is 412 and changes nothing; one that fits, or one of several, lets the change through."""
    file = anna.save(b"one")
    path = f"/files/{file['id']}"
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", f"{path}/content", {"data": b"two"}),
        ("PATCH", path, {"json": {"name": "b"}}),
        ("DELETE", path, {}),
        ("POST", f"{path}/restore", {}),
    ]
    for number, (method, target, kwargs) in enumerate(calls, start=1):
        for tag in (f'"v{number + 1}"', f'W/"v{number}"', '"other"', f'"{"0" * 64}"'):
            answer = anna.ask(method, target, headers={"If-Match": tag}, **kwargs)
            problem_of(answer, 412, "precondition_failed")
        answer = anna.ask(method, target, headers={"If-Match": f'"other", "v{number}"'}, **kwargs)
        assert answer.status_code in (200, 204), answer.text
    assert anna.ask("GET", path).json()["version"] == 5
    for method, target, kwargs in calls[:3]:
        problem_of(anna.ask(method, target, headers={"If-Match": "v5"}, **kwargs), 400, "bad_request")
    two = hashlib.sha256(b"two").hexdigest()
    assert anna.ask("PATCH", path, json={"name": "c"}, headers={"If-Match": f'"{two}"'}).ok
    assert anna.ask("PATCH", path, json={"name": "d"}, headers={"If-Match": "*"}).ok


def test_a_precondition_spares_the_body(gateway: ServedGateway, anna: Account) -> None:
    """A PUT that cannot be applied is answered before its bytes are sent, and so is one of somebody else's file."""
    file = anna.save(b"one")
    line = f"PUT /files/{file['id']}/content"
    head = anna.head_of_request(line, "Content-Length: 100000000", 'If-Match: "v2"', "")
    answer = gateway.raw(head)
    assert problem_in(answer)["code"] == "precondition_failed"
    assert b"Connection: close" in answer
    head = Account(gateway).head_of_request(line, "Content-Length: 100000000", "")
    assert problem_in(gateway.raw(head))["code"] == "not_found"


def test_a_condition_can_be_demanded(anna: Account, strict: GatewayProcess) -> None:
    """With DOCSAVE_REQUIRE_IF_MATCH a change without one is 428; a new file needs none."""
    file = anna.save(b"one", at=strict)
    path = f"/files/{file['id']}"
    for method, target, kwargs in [
        ("PUT", f"{path}/content", {"data": b"two"}),
        ("PATCH", path, {"json": {"name": "b"}}),
        ("DELETE", path, {}),
        ("DELETE", f"{path}?permanent=true", {}),
        ("POST", f"{path}/restore", {}),
    ]:
        problem_of(anna.ask(method, target, at=strict, **kwargs), 428, "precondition_required")
    body = {"operations": [{"op": "delete", "id": file["id"]}, {"op": "delete", "id": file["id"], "if_match": "v1"}]}
    results = anna.ask("POST", "/batch", json=body, at=strict).json()["results"]
    assert [result["status"] for result in results] == [428, 200]
    assert anna.ask("POST", f"{path}/restore", headers={"If-Match": '"v2"'}, at=strict).ok
    assert anna.ask("PUT", "/refs/crm/1/files/a", data=b"x", at=strict).status_code == 201


# -- digests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 3, 2 * MIB + 1])
def test_digests_that_fit(anna: Account, size: int) -> None:
    """Both headers, both algorithms, beside one that nobody knows; raw, chunked and in a form."""
    content = os.urandom(size)
    both = f"md5=:AAAA:, {digest(content)}, {digest(content, 'sha-512')};p=1"
    for name in ("Content-Digest", "Repr-Digest"):
        anna.save(content, headers={name: both})
        anna.save(iter([content]) if content else content, headers={name: both})  # type: ignore[arg-type]
    request = form(('name="file"; filename="a"', f"Content-Digest: {both}\r\n", content))
    request["headers"]["Content-Digest"] = digest(request["data"], "sha-512")
    assert anna.ask("POST", "/files", **request).status_code == 201


@pytest.mark.parametrize("size", [3, 2 * MIB + 1])
def test_digests_that_do_not_fit(gateway: ServedGateway, anna: Account, size: int) -> None:
    """400 digest_mismatch, and nothing is kept: no file, no event, no blob."""
    content, other = os.urandom(size), os.urandom(3)
    before = gateway.blobs()
    for name in ("Content-Digest", "Repr-Digest"):
        for wrong in (digest(other), f"{digest(content)}, {digest(other, 'sha-512')}", "sha-256=:AAAA:"):
            answer = anna.ask("POST", "/files?name=a", data=content, headers={name: wrong})
            problem_of(answer, 400, "digest_mismatch")
            answer = anna.ask("POST", "/files?name=a", data=iter([content]), headers={name: wrong})
            problem_of(answer, 400, "digest_mismatch")
    request = form(('name="file"; filename="a"', f"Content-Digest: {digest(other)}\r\n", content))
    problem_of(anna.ask("POST", "/files", **request), 400, "digest_mismatch")
    request = form(('name="file"; filename="a"', "", content))
    request["headers"]["Content-Digest"] = digest(content)  # of the part, where the header is about the body
    problem_of(anna.ask("POST", "/files", **request), 400, "digest_mismatch")
    assert (gateway.blobs(), anna.files(), events_of(gateway, anna.id)) == (before, [], [])


@pytest.mark.parametrize("value", ["sha-256", "sha-256=abc", "sha-256=:*:", '"x"', "sha-256=:AAAA", "md5=1", "\xff"])
def test_digests_that_cannot_be_read(anna: Account, value: str) -> None:
    """400, whatever algorithm is meant."""
    for name in ("Content-Digest", "Repr-Digest"):
        answer = anna.ask("POST", "/files?name=a", data=b"x", headers={name: value.encode("latin-1")})
        problem_of(answer, 400, "bad_request")


# -- quotas ----------------------------------------------------------------------------------------------------------


def test_a_quota_stops_what_will_not_fit(gateway: ServedGateway) -> None:
    """Announced: before the body. Streamed: in the middle of it. Small: in the transaction, and the next one before
    its content is kept. Nothing is left, and what fits is saved."""
    bert = Account(gateway, quota_bytes=3 * MIB)
    bert.save(os.urandom(2 * MIB))
    before = gateway.blobs()
    announced = bert.head_of_request("POST /files?name=a", f"Content-Length: {2 * MIB}", "")
    answer = gateway.raw(announced)
    assert problem_in(answer)["code"] == "quota_exceeded"
    assert b"Connection: close" in answer
    pieces = (os.urandom(MIB) for _ in range(200))
    problem_of(bert.ask("POST", "/files?name=a", data=pieces), 413, "quota_exceeded")
    assert next(pieces, None) is not None  # it was not taken to its end
    assert gateway.blobs() == before
    bert.save(os.urandom(MIB - 10))
    before = gateway.blobs()
    problem_of(bert.ask("POST", "/files?name=a", data=os.urandom(20)), 413, "quota_exceeded")
    assert gateway.blobs() == before  # refused lately: asked before
    bert.save(b"1234567890")


def test_a_small_upload_is_refused_by_the_transaction(gateway: ServedGateway) -> None:
    """Nobody asks first. From then on somebody does, so that refused content does not gather in the store."""
    bert = Account(gateway, quota_bytes=10)
    before = len(gateway.blobs())
    for _ in range(3):
        problem_of(bert.ask("POST", "/files?name=a", data=os.urandom(20)), 413, "quota_exceeded")
    assert len(gateway.blobs()) == before + 1
    assert bert.files() == []


def test_a_replacement_counts_by_its_difference(gateway: ServedGateway) -> None:
    """What goes makes room for what comes, also where a reference names the file."""
    bert = Account(gateway, quota_bytes=3 * MIB)
    path = f"/files/{bert.save(os.urandom(2 * MIB))['id']}/content"
    assert bert.ask("PUT", path, data=os.urandom(3 * MIB)).ok
    problem_of(bert.ask("PUT", path, data=os.urandom(3 * MIB + 1)), 413, "quota_exceeded")
    assert bert.ask("PUT", path, data=b"").ok
    target = "/refs/crm/7/files/a.bin"
    assert bert.ask("PUT", target, data=os.urandom(2 * MIB)).status_code == 201
    assert bert.ask("PUT", target, data=os.urandom(3 * MIB)).status_code == 200
    problem_of(bert.ask("PUT", target, data=os.urandom(4 * MIB)), 413, "quota_exceeded")


# -- repeats ---------------------------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_first_answer(gateway: ServedGateway, anna: Account) -> None:
    """Status, body and headers of the first time, whatever happened to the file since; nothing happens again."""
    steps: list[tuple[str, str, dict[str, Any], dict[str, str]]] = [
        ("POST", "/files?name=a.txt&folder=x", {"data": b"one"}, {}),
        ("PUT", "/files/{id}/content", {"data": b"two"}, {"If-Match": '"v1"'}),
        ("PATCH", "/files/{id}", {"json": {"name": "b.txt", "labels": {"k": "v"}}}, {"If-Match": '"v2"'}),
        ("DELETE", "/files/{id}", {}, {"If-Match": '"v3"'}),
        ("POST", "/files/{id}/restore", {}, {"If-Match": '"v4"'}),
        ("PUT", "/refs/crm/9/files/r.txt", {"data": b"ref"}, {}),
        ("PUT", "/refs/crm/9/files/r.txt", {"data": b"ref 2"}, {"If-Match": '"v1"'}),
        ("DELETE", "/files/{id}?permanent=true", {}, {"If-Match": '"v5"'}),
    ]
    done: list[tuple[str, str, dict[str, Any], dict[str, str], requests.Response]] = []
    file_id = 0
    for method, path, kwargs, headers in steps:
        target, headers = path.format(id=file_id), {**headers, "Idempotency-Key": new_key()}
        answer = anna.ask(method, target, headers=headers, **kwargs)
        assert answer.ok, answer.text
        assert "Idempotent-Replayed" not in answer.headers
        file_id = file_id or answer.json()["id"]
        done.append((method, target, kwargs, headers, answer))
    events = events_of(gateway, anna.id)
    assert len(events) == len(steps)
    for method, target, kwargs, headers, first in [*done, *reversed(done)]:
        again = anna.ask(method, target, headers=headers, **kwargs)
        assert (again.status_code, again.content) == (first.status_code, first.content), (method, target, again.text)
        assert again.headers["Idempotent-Replayed"] == "true"
        for name in ("ETag", "Location"):
            assert again.headers.get(name) == first.headers.get(name)
    assert events_of(gateway, anna.id) == events


def test_a_key_stands_for_one_request(gateway: ServedGateway, anna: Account) -> None:
    """The same key with other content, name or operation is 422; another user's key is another key."""
    key = {"Idempotency-Key": new_key()}
    file = anna.save(b"one", headers=key)
    for method, path, kwargs in [
        ("POST", "/files?name=a.txt", {"data": b"two"}),
        ("POST", "/files?name=b.txt", {"data": b"one"}),
        ("POST", "/files?name=a.txt&folder=x", {"data": b"one"}),
        ("DELETE", f"/files/{file['id']}", {}),
        ("PATCH", f"/files/{file['id']}", {"json": {"name": "b.txt"}}),
    ]:
        problem_of(anna.ask(method, path, headers=key, **kwargs), 422, "idempotency_key_reused")
    assert Account(gateway).save(b"two", headers=key)["id"] != file["id"]


@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb", "\xe9"])
def test_a_bad_key(anna: Account, key: str) -> None:
    """1 to 255 printable ASCII characters, else 422; it is never taken for no key."""
    headers = {"Idempotency-Key": key.encode("latin-1")}
    problem = problem_of(anna.ask("POST", "/files?name=a", data=b"x", headers=headers), 422, "invalid_input")
    assert problem["errors"][0]["field"] == "Idempotency-Key"


def test_a_refusal_is_not_remembered(gateway: ServedGateway, anna: Account) -> None:
    """What was refused changed nothing: the same request is judged afresh, and a refusal of new content keeps none."""
    key = {"Idempotency-Key": new_key()}
    before = gateway.blobs()
    problem_of(anna.ask("PUT", "/files/999999999/content", data=os.urandom(9), headers=key), 404, "not_found")
    file = anna.save(b"one")
    target = f"/files/{file['id']}/content"
    content = os.urandom(2 * MIB)
    headers = {**key, "If-Match": '"v2"'}
    problem_of(anna.ask("PUT", target, data=content, headers=headers), 412, "precondition_failed")
    assert set(gateway.blobs()) <= {*before, hashlib.sha256(b"one").hexdigest()}
    anna.ask("PATCH", f"/files/{file['id']}", json={"name": "b"})
    answer = anna.ask("PUT", target, data=content, headers=headers)
    assert (answer.status_code, answer.json()["version"]) == (200, 3)
    assert "Idempotent-Replayed" not in answer.headers


def test_a_repetition_over_the_quota_gets_its_answer(gateway: ServedGateway) -> None:
    """The first one used up the quota; the second is the same request and needs none."""
    bert = Account(gateway, quota_bytes=2 * MIB)
    content, headers = os.urandom(2 * MIB), {"Idempotency-Key": new_key()}
    first = bert.save(content, headers=headers)
    assert bert.save(content, headers=headers) == first
    assert bert.save(iter([content]), headers=headers) == first  # type: ignore[arg-type]
    answer = bert.ask("POST", "/files?name=a.txt", data=content, headers={"Idempotency-Key": new_key()})
    problem_of(answer, 413, "quota_exceeded")


@pytest.mark.parametrize("number", [2, 20])
def test_copies_of_a_request_at_once_make_one_file(
    gateway: ServedGateway, strict: GatewayProcess, anna: Account, number: int
) -> None:
    """At two gateways, all get the same 201."""
    headers, content = {"Idempotency-Key": new_key()}, os.urandom(1000)

    def send(at: GatewayProcess) -> requests.Response:
        return anna.ask("POST", "/files?name=a.bin", data=content, headers=headers, at=at)

    threads = [eventlet.spawn(send, (gateway, strict)[n % 2]) for n in range(number)]
    answers = [thread.wait() for thread in threads]
    assert [answer.status_code for answer in answers] == [201] * number
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == number - 1
    assert events_of(gateway, anna.id) == [("File_create", 1)]


def test_a_copy_waits_until_the_first_one_ends(gateway: ServedGateway, anna: Account) -> None:
    """While the first is still sending its body the second waits; when that client hangs up it takes its place."""
    key = new_key()
    head = anna.head_of_request("POST /files?name=a.txt", "Content-Length: 2000000", f"Idempotency-Key: {key}", "")
    with gateway.connect() as first:
        first.sendall(head + b"\r\n" + b"a" * 1_500_000)
        wait_until(gateway.staged)
        second = eventlet.spawn(anna.save, b"whole", headers={"Idempotency-Key": key})
        with eventlet.Timeout(0.5, False):
            second.wait()
        assert not second.dead
    assert second.wait()["size"] == 5
    assert events_of(gateway, anna.id) == [("File_create", 1)]


def test_an_unknown_outcome_and_its_repetition_make_one_file(gateway: ServedGateway, anna: Account) -> None:
    """The files service hangs: 503. When it goes on, the repetition gives the one file, made now or then."""
    headers = {"Idempotency-Key": new_key()}
    hold_still(gateway.files.process.pid)
    try:
        answer = anna.ask("POST", "/files?name=a.txt", data=b"once", headers=headers)
        problem_of(answer, 503, "rpc_timeout")
    finally:
        os.kill(gateway.files.process.pid, signal.SIGCONT)
    again = wait_until(lambda: (a := anna.ask("POST", "/files?name=a.txt", data=b"once", headers=headers)).ok and a, 20)
    assert again.status_code == 201
    assert events_of(gateway, anna.id) == [("File_create", 1)]
    assert [file["id"] for file in anna.files()] == [again.json()["id"]]


# -- races -----------------------------------------------------------------------------------------------------------


def test_fifty_writers_of_one_file(gateway: ServedGateway, anna: Account) -> None:
    """Versions 1 to n without a hole, one for each content, and the last one is what is there."""
    path = f"/files/{anna.save(b'first')['id']}"
    contents = {hashlib.sha256(c).hexdigest(): c for c in (os.urandom(50) for _ in range(50))}
    threads = [eventlet.spawn(anna.ask, "PUT", f"{path}/content", data=c) for c in contents.values()]
    answers = [thread.wait() for thread in threads]
    assert [answer.status_code for answer in answers] == [200] * 50
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 52))
    last = max((answer.json() for answer in answers), key=lambda file: file["version"])
    assert anna.ask("GET", f"{path}/content").content == contents[last["sha256"]]
    assert [version for _, version in events_of(gateway, anna.id)] == list(range(1, 52))


@pytest.mark.parametrize("tag", ["v1", hashlib.sha256(b"first").hexdigest()])
def test_one_of_twenty_wins(gateway: ServedGateway, strict: GatewayProcess, anna: Account, tag: str) -> None:
    """Of writers that all saw the same version exactly one is let through, at whatever gateway."""
    path = f"/files/{anna.save(b'first')['id']}/content"

    def put(n: int) -> requests.Response:
        at = (gateway, strict)[n % 2]
        return anna.ask("PUT", path, data=b"%d" % n, headers={"If-Match": f'"{tag}"'}, at=at)

    statuses = sorted(thread.wait().status_code for thread in [eventlet.spawn(put, n) for n in range(20)])
    assert statuses == [200] + [412] * 19


# -- references ------------------------------------------------------------------------------------------------------


def test_saving_by_reference(anna: Account) -> None:
    """The first time a new file with its address, then new content of the same, out of the trash if need be."""
    target = "/refs/crm/deal%2042/files/Gr%C3%BC%C3%9Fe%20%25.txt"
    first = anna.ask("PUT", f"{target}?folder=offers", data=b"one")
    file = first.json()
    assert (first.status_code, first.headers["Location"]) == (201, f"/files/{file['id']}")
    assert first.headers["ETag"] == f'"{hashlib.sha256(b"one").hexdigest()}"'
    assert (file["name"], file["folder"], file["labels"]) == ("Grüße %.txt", "offers", {"crm": "deal 42"})
    anna.ask("PATCH", f"/files/{file['id']}", json={"name": "renamed.txt"})
    second = anna.ask("PUT", target, **form(('name="file"; filename="x"', "", b"two")))
    assert (second.status_code, second.json()["id"], second.json()["version"]) == (200, file["id"], 3)
    assert (second.json()["name"], "Location" in second.headers) == ("renamed.txt", False)
    assert anna.ask("PUT", target, data=b"two").json()["version"] == 3
    anna.ask("DELETE", f"/files/{file['id']}")
    third = anna.ask("PUT", target, params={"labels": '{"a":"b"}'}, data=b"three").json()
    assert (third["id"], third["version"], third["deleted_at"]) == (file["id"], 5, None)
    assert third["labels"] == {"a": "b", "crm": "deal 42"}
    problem_of(anna.ask("PUT", target, data=b"4", headers={"If-Match": '"v4"'}), 412, "precondition_failed")
    other = anna.ask("PUT", "/refs/crm/deal%2042/files/other.txt", data=b"x").json()
    anna.ask("PUT", "/refs/crm/43/files/other.txt", data=b"x")
    page = anna.ask("GET", "/refs/crm/deal%2042/files?limit=1").json()
    rest = anna.ask("GET", "/refs/crm/deal%2042/files", params={"limit": 1, "after": page["next"]}).json()
    assert [f["id"] for f in page["items"] + rest["items"]] == [file["id"], other["id"]]


def test_a_reference_is_its_accounts_own(gateway: ServedGateway, anna: Account) -> None:
    """The same words of another account are another file."""
    target = "/refs/crm/1/files/a.txt"
    mine, theirs = anna.ask("PUT", target, data=b"mine"), Account(gateway).ask("PUT", target, data=b"theirs")
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]


def test_a_reference_used_by_twenty_at_once(anna: Account) -> None:
    """One file; one of them made it."""
    target = "/refs/crm/1/files/a.txt"
    threads = [eventlet.spawn(anna.ask, "PUT", target, data=b"%d" % n) for n in range(20)]
    answers = [thread.wait() for thread in threads]
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 21))


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/refs/crm/1/files/a%2Fb", "name"),
        ("/refs/crm/1/files/a\\b", "name"),
        ("/refs/crm/1/files/..", "name"),
        ("/refs/crm/1/files/%2e%2e", "name"),
        ("/refs/crm/1/files/%00", "name"),
        ("/refs/crm/1/files/a%0d%0ab", "name"),
        ("/refs/crm/1/files/%E2%80%AEx", "name"),
        ("/refs/crm/1/files/%20", "name"),
        ("/refs/crm/1/files/", "name"),
        ("/refs/crm/1/files/" + "a" * 256, "name"),
        ("/refs/crm/1%2F2/files/a", "key"),
        ("/refs/crm//files/a", "key"),
        ("/refs/c%20m/1/files/a", "system"),
        ("/refs/" + "c" * 65 + "/1/files/a", "system"),
    ],
)
def test_a_bad_reference_is_named(gateway: ServedGateway, anna: Account, target: str, field: str) -> None:
    """As sent, not as a library would repair it: 422 with the part that is wrong, before the body."""
    answer = gateway.raw(anna.head_of_request(f"PUT {target}", "Content-Length: 1000000", ""))
    assert [error["field"] for error in problem_in(answer)["errors"]] == [field]


def test_a_path_that_is_not_text(gateway: ServedGateway, anna: Account) -> None:
    """Bytes that are not UTF-8 are never a name."""
    answer = gateway.raw(anna.head_of_request("PUT /refs/crm/1/files/%FF", "Content-Length: 1000000", ""))
    assert problem_in(answer)["code"] == "bad_request"


# -- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_has_a_result_for_each(gateway: ServedGateway, anna: Account) -> None:
    """In order, each with its status; one that is refused leaves the others alone; nobody touches others' files."""
    one, two = (anna.save(content)["id"] for content in (b"one", b"two"))
    theirs = Account(gateway).save(b"theirs")["id"]
    operations: list[dict[str, Any]] = [
        {"op": "rename", "id": one, "name": "b.txt", "if_match": "v1"},
        {"op": "rename", "id": one, "name": "c.txt", "if_match": "v1"},
        {"op": "label", "id": one, "labels": {"crm": "1"}},
        {"op": "move", "id": one, "folder": "x/y"},
        {"op": "delete", "id": two},
        {"op": "delete", "id": two},
        {"op": "restore", "id": two},
        {"op": "restore", "id": two},
        {"op": "rename", "id": theirs, "name": "mine.txt"},
        {"op": "rename", "id": one, "name": "a/b"},
        {"op": "rename", "id": one},
        {"op": "explode", "id": one},
        {"op": "delete", "id": one, "force": True},
        {"op": "delete", "id": 0},
        {"op": "delete", "id": "1"},
        {"op": ["delete"], "id": one},
        {"op": "delete", "id": one, "if_match": '"v1"'},
    ]
    answer = anna.ask("POST", "/batch", json={"operations": operations})
    results = answer.json()["results"]
    statuses = [200, 412, 200, 200, 200, 404, 200, 409, 404] + [422] * 8
    assert [result["status"] for result in results] == statuses, answer.text
    file = results[3]["file"]
    assert (file["version"], file["name"], file["folder"], file["labels"]) == (4, "b.txt", "x/y", {"crm": "1"})
    assert "path" not in file
    assert results[4]["file"]["deleted_at"] is not None
    assert (results[8]["code"], results[9]["errors"][0]["field"]) == ("not_found", "name")
    assert anna.ask("GET", f"/files/{one}").json() == file


def test_a_thousand_operations(gateway: ServedGateway, anna: Account) -> None:
    """As many as a batch may have, in one transaction within the deadline; one more is refused as a whole."""
    file_id = anna.save(b"one")["id"]
    operations = [{"op": "rename", "id": file_id, "name": f"{n}.txt"} for n in range(1000)]
    answer = anna.ask("POST", "/batch", json={"operations": operations})
    results = answer.json()["results"]
    assert [result["file"]["version"] for result in results] == list(range(2, 1002))
    more = [*operations, operations[0]]
    problem_of(anna.ask("POST", "/batch", json={"operations": more}), 422, "invalid_input")
    for bad in (
        {},
        {"operations": []},
        {"operations": [1]},
        {"operations": {}},
        {"operations": operations[:1], "x": 1},
    ):
        problem_of(anna.ask("POST", "/batch", json=bad), 422, "invalid_input")
    large = {"operations": [{"op": "rename", "id": file_id, "name": "a" * 2_000_000}]}
    problem_of(anna.ask("POST", "/batch", json=large), 413, "too_large")
    assert anna.ask("GET", f"/files/{file_id}").json()["version"] == 1001


def test_a_repeated_batch(gateway: ServedGateway, anna: Account) -> None:
    """What was applied is answered again, what was refused is tried again."""
    one, two = (anna.save(content)["id"] for content in (b"one", b"two"))
    operations = [{"op": "rename", "id": one, "name": "b.txt"}, {"op": "restore", "id": two}]
    headers = {"Idempotency-Key": "k" * 255}
    first = anna.ask("POST", "/batch", json={"operations": operations}, headers=headers)
    assert [result["status"] for result in first.json()["results"]] == [200, 409]
    anna.ask("DELETE", f"/files/{two}")
    second = anna.ask("POST", "/batch", json={"operations": operations}, headers=headers)
    assert second.json()["results"][0] == first.json()["results"][0]
    assert second.json()["results"][1]["status"] == 200
    assert "Idempotent-Replayed" not in second.headers
    third = anna.ask("POST", "/batch", json={"operations": operations}, headers=headers)
    assert (third.content, third.headers["Idempotent-Replayed"]) == (second.content, "true")
    other = anna.ask("POST", "/batch", json={"operations": operations[::-1]}, headers=headers)
    assert {result["code"] for result in other.json()["results"]} == {"idempotency_key_reused"}


# -- clients that break off ------------------------------------------------------------------------------------------


def test_what_does_not_arrive_whole_leaves_nothing(gateway: ServedGateway, anna: Account) -> None:
    """Whoever hangs up, stalls or lies about the length, at whatever call, in whatever form: no file, no event, no
    blob, no unfinished file; and the file that was to change is as it was."""
    file = anna.save(b"first")
    before = gateway.blobs()
    length, chunked = "Content-Length: 3000000", "Transfer-Encoding: chunked"
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    content = os.urandom(1_500_000)
    bodies = [
        ([length], content),
        ([chunked], b"%x\r\n" % len(content) + content + b"\r\n"),
        ([length, "Content-Type: multipart/form-data; boundary=x"], part + content),
        ([length, "Content-Type: multipart/form-data; boundary=x"], part + content + b"\r\n--x--\r\n"),
        ([length, "Idempotency-Key: {key}"], content),
        ([length, f"Content-Digest: {digest(content)}"], content),
    ]
    lines = ["POST /files?name=a", f"PUT /files/{file['id']}/content", "PUT /refs/crm/1/files/a"]
    endings = {"fin": "body_truncated", "reset": "", "silence": "body_timeout"}

    def send(line: str, headers: list[str], body: bytes, ending: str) -> bytes:
        with gateway.connect() as sock:
            own = [header.format(key=new_key()) for header in headers]
            sock.sendall(anna.head_of_request(line, *own) + b"\r\n" + body)
            if ending == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            if ending == "fin":
                sock.shutdown(socket.SHUT_WR)
            return read_to_end(sock)

    cases = [(line, headers, body, end) for line in lines for headers, body in bodies for end in endings]
    answers = [eventlet.spawn(send, *case) for case in cases]
    codes = [problem_in(answer)["code"] if answer else "" for answer in (thread.wait() for thread in answers)]
    assert codes == [endings[ending] for *_, ending in cases]
    wait_until(lambda: gateway.staged() == [] and gateway.open_blobs() == 0)
    assert gateway.blobs() == before
    assert events_of(gateway, anna.id) == [("File_create", 1)]
    assert anna.ask("GET", f"/files/{file['id']}/content").content == b"first"


# -- what is left ----------------------------------------------------------------------------------------------------


def test_keys_stay_in_the_database_only_for_what_succeeded(gateway: ServedGateway, anna: Account) -> None:
    """A row for each request that changed something, none for one that was refused."""
    anna.save(b"one", headers={"Idempotency-Key": "good"})
    anna.ask("DELETE", "/files/999999999", headers={"Idempotency-Key": "bad"})
    query = select(IdempotencyKeyRow.key).where(IdempotencyKeyRow.user_id == anna.id)
    assert gateway.database.read(lambda session: list(session.scalars(query))) == ["good"]
