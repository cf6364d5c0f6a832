"""The gateway's HTTP on real sockets: what is malformed, too large or out of place is answered, always as a problem."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_http.limits import MAX_CONNECTIONS
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
    token,
)
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

DESK = Desk()


@pytest.fixture(scope="module")
def gateway(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    services = stand_ins(broker.amqp_uri, DESK)
    gateway = GatewayProcess(broker.amqp_uri, tmp_path_factory.mktemp("gateway"))
    yield gateway
    gateway.stop()
    stop_all(services)


@pytest.fixture(autouse=True)
def desk(gateway: GatewayProcess) -> Desk:
    DESK.clear()
    return DESK


def test_live_answers_with_the_version(gateway: GatewayProcess) -> None:
    """/health/live needs no token and tells which version runs."""
    answer = gateway.get("/health/live")
    assert answer.json() == {"status": "ok", "version": "0.1.0"}


def test_ready_shows_each_missing_part(gateway: GatewayProcess) -> None:
    """/health/ready is 503 within its deadline while services are missing, and says which."""
    present = {"broker", "database", "users", "files"}

    def checks() -> dict[str, Any] | None:
        """Those of the first answer in which everything that is there was in time: a busy machine may be late."""
        answer = gateway.get("/health/ready")
        assert answer.status_code == 503
        assert answer.elapsed.total_seconds() < 3
        assert gateway.directory.name not in answer.text
        found: dict[str, Any] = answer.json()["checks"]
        return found if {name for name, check in found.items() if check["status"] == "ok"} >= present else None

    found = wait_until(checks, 20)
    assert found["backup"]["status"] == found["notifier"]["status"] == "failed"


def test_unknown_path_is_a_problem(gateway: GatewayProcess) -> None:
    """A path without a route is a 404 problem."""
    problem_of(gateway.get("/nothing"), 404, "not_found")


def test_wrong_method_names_the_right_ones(gateway: GatewayProcess) -> None:
    """405 carries Allow."""
    answer = gateway.request("DELETE", "/files", headers=bearer())
    problem_of(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("path", ["/files", "/files/1", "/files/1/content", "/users/me"])
@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer x", "Basic YTpi", "Bearer " + "a" * 5000, "Bearer \xff"])
def test_no_token_no_answer(gateway: GatewayProcess, path: str, value: str | None) -> None:
    """Without a valid token every route says 401 with WWW-Authenticate, in the same words."""
    answer = gateway.get(path, headers={} if value is None else {"Authorization": value.encode("latin-1")})
    problem = problem_of(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert problem["detail"] == "A valid access token is required."


def test_a_sane_request_id_is_kept(gateway: GatewayProcess) -> None:
    """The caller's request id comes back, also in the problem and in the log."""
    answer = gateway.get("/files/77", headers={**bearer(), "X-Request-Id": "crm-42_a.b"})
    assert problem_of(answer, 404, "not_found")["request_id"] == "crm-42_a.b"
    wait_until(lambda: '"request_id": "crm-42_a.b"' in gateway.program.output())


@pytest.mark.parametrize("value", ["a b", "a" * 129, 'x"y', "é"])
def test_an_odd_request_id_is_replaced(gateway: GatewayProcess, value: str) -> None:
    """A request id that could garble a log is replaced."""
    answer = gateway.get("/health/live", headers={"X-Request-Id": value.encode("utf-8")})
    assert len(answer.headers["X-Request-Id"]) == 32


def test_one_access_log_line_a_request(gateway: GatewayProcess) -> None:
    """Each request leaves one line with method, path, status, bytes, milliseconds and its id."""
    gateway.get("/health/live?secret=1", headers={"X-Request-Id": "log-line"})
    lines = wait_until(lambda: [x for x in gateway.program.output().splitlines() if "log-line" in x])
    line = json.loads(lines[0])
    assert len(lines) == 1
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "GET", "/health/live", 200)
    assert line["bytes"] > 0
    assert line["milliseconds"] >= 0


# -- bodies as JSON --------------------------------------------------------------------------------------------------


def test_wrong_types_are_named_without_their_value(gateway: GatewayProcess) -> None:
    """A field of the wrong type is 422; the value, which may be a password, is not repeated."""
    answer = gateway.request("POST", "/users", json={"login": 5, "password": 987654321})
    problem = problem_of(answer, 422, "invalid_input")
    assert [e["field"] for e in problem["errors"]] == ["login", "password"]
    assert "987654321" not in answer.text


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/json; charset=utf-16"])
def test_other_media_types_are_refused(gateway: GatewayProcess, media_type: str | None) -> None:
    """A JSON route takes application/json in UTF-8 only."""
    headers = {} if media_type is None else {"Content-Type": media_type}
    answer = gateway.request("POST", "/login", data=b"{}", headers=headers)
    problem_of(answer, 415, "unsupported_media_type")


def test_large_json_is_refused(gateway: GatewayProcess) -> None:
    """More than 64 KiB of JSON is 413, announced or chunked."""
    body = json.dumps({"login": "a" * 70_000}).encode()
    headers = {"Content-Type": "application/json"}
    problem_of(gateway.request("POST", "/login", data=body, headers=headers), 413, "too_large")
    problem_of(gateway.request("POST", "/login", data=iter([body]), headers=headers), 413, "too_large")


def test_open_registration_passes_fields_on(gateway: GatewayProcess) -> None:
    """POST /users calls users.create with what was sent and answers 201 with Location."""
    answer = gateway.request("POST", "/users", json={"login": "abc", "password": "pass\u0000word"})
    assert (answer.status_code, answer.headers["Location"]) == (201, "/users/7")
    actor = {"by": None, "address": "127.0.0.1", "session_id": None, "key_id": None}
    assert DESK.calls == [("create", {"login": "abc", "password": "pass\u0000word", **actor})]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=1_0", "limit"),
        ("limit=", "limit"),
        ("sort=path", "sort"),
        ("deleted=yes", "deleted"),
        ("page=2", "page"),
        ("limit=1&limit=2", "limit"),
        ("q=" + "a" * 256, "q"),
        ("user_id=0", "user_id"),
        ("user_id=everybody", "user_id"),
    ],
)
def test_a_bad_query_field_is_named(gateway: GatewayProcess, query: str, field: str) -> None:
    """Query fields are strict, and 422 comes before 403."""
    problem = problem_of(gateway.get(f"/files?{query}", headers=bearer()), 422, "invalid_input")
    assert problem["errors"][0]["field"] == field


def test_the_list_is_the_callers(gateway: GatewayProcess) -> None:
    """A user lists their own files; an administrator their own, another's, or everybody's."""
    DESK.row("ab" * 32, 1)
    answer = gateway.get("/files?limit=5&q=%C3%A9&sort=-name&deleted=true&after=x", headers=bearer(3))
    assert answer.ok, answer.text
    page = answer.json()
    assert "path" not in page["items"][0]
    gateway.get("/files", headers=bearer(9, "admin"))
    gateway.get("/files?user_id=3", headers=bearer(9, "admin"))
    gateway.get("/files?user_id=all", headers=bearer(9, "admin"))
    assert [arguments for _, arguments in DESK.calls] == [
        {"user_id": 3, "limit": 5, "after": "x", "q": "é", "sort": "-name", "deleted": True},
        {"user_id": 9},
        {"user_id": 3},
        {"user_id": None},
    ]
    problem_of(gateway.get("/files?user_id=1", headers=bearer(3)), 403, "forbidden")


def test_a_query_that_is_not_utf8_is_a_bad_request(gateway: GatewayProcess) -> None:
    """Broken percent-encoding of text is 400."""
    problem_of(gateway.get("/files?q=%FF", headers=bearer()), 400, "bad_request")


# -- the protocol ----------------------------------------------------------------------------------------------------

REQUEST = b"POST /files?name=a HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "line", [b"GET\r\n", b"GET /\r\n", b"GET / HTTP/2.0\r\n", b"GET / HTTX/1.1\r\n", b"\x16\x03\x01 / HTTP/1.1\r\n"]
)
def test_a_bad_request_line_is_a_problem(gateway: GatewayProcess, line: bytes) -> None:
    """A first line that is not HTTP/1 is 400."""
    assert problem_in(gateway.raw(line + b"Host: x\r\n\r\n"))["status"] == 400


def test_host_is_needed_once(gateway: GatewayProcess) -> None:
    """HTTP/1.1 without Host is 400 (RFC 9112, section 3.2)."""
    assert problem_in(gateway.raw(b"GET /health/live HTTP/1.1\r\n\r\n"))["status"] == 400


def test_headers_of_60_kib_are_fine(gateway: GatewayProcess) -> None:
    """The limit is 64 KiB for all headers together, not for a line."""
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: " + b"a" * 60_000 + b"\r\n\r\n"
    assert gateway.raw(head).startswith(b"HTTP/1.1 200 ")


def test_a_request_that_ends_early_is_closed(gateway: GatewayProcess) -> None:
    """Half a request and a closed connection leave nothing behind but the next request's answer."""
    gateway.raw(b"GET /health/live HT", then_close_writing=True)
    gateway.raw(b"GET /health/live HTTP/1.1\r\nHost:", then_close_writing=True)
    assert gateway.get("/health/live").ok


def test_a_connection_serves_many_requests(gateway: GatewayProcess) -> None:
    """Keep-alive works, also for two requests sent at once."""
    one = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert gateway.raw(one + last).count(b"HTTP/1.1 200 OK") == 2


def test_the_absolute_form_is_understood(gateway: GatewayProcess) -> None:
    """A request line with a whole URL, as for a proxy, works (RFC 9112, section 3.2.2)."""
    tail = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert gateway.raw(b"GET http://x/health/live" + tail).startswith(b"HTTP/1.1 200 ")
    assert gateway.raw(b"GET http://x" + tail).startswith(b"HTTP/1.1 404 ")


def test_head_has_no_body(gateway: GatewayProcess) -> None:
    """HEAD answers with headers alone, for errors too."""
    for path in (b"/health/live", b"/nothing"):
        answer = gateway.raw(b"HEAD " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.endswith(b"\r\n\r\n")
        assert b"Content-Length: 0" not in answer


def test_a_hundred_idle_connections_do_not_matter(gateway: GatewayProcess) -> None:
    """Connections that send nothing or half a line do not keep others from being served."""
    idle = [gateway.connect() for _ in range(100)]
    try:
        for sock in idle[:50]:
            sock.sendall(b"GET /hea")
        assert gateway.get("/health/live").elapsed.total_seconds() < 3
    finally:
        for sock in idle:
            sock.close()


def test_connections_are_bounded(gateway: GatewayProcess) -> None:
    """With all places taken an idle connection makes room; where none is idle the answer is 503."""
    held = [gateway.connect() for _ in range(MAX_CONNECTIONS)]
    try:
        wait_until(lambda: gateway.connections() >= MAX_CONNECTIONS)
        assert gateway.get("/health/live").ok
        held.append(gateway.connect())  # in the place of the one that was closed
        for sock in held:
            with contextlib.suppress(OSError):
                sock.sendall(b"GET /hea")

        def refused() -> bool:
            """Whether one more is; one that still found a place keeps it."""
            sock = gateway.connect()
            held.append(sock)
            sock.sendall(b"GET /hea")
            answered = bool(select.select([sock], [], [], 1)[0])
            return answered and problem_in(read_to_end(sock))["code"] == "unavailable"

        wait_until(refused)
    finally:
        for sock in held:
            sock.close()
    wait_until(lambda: gateway.get("/health/live").ok)


def test_a_dribbled_json_body_is_cut(gateway: GatewayProcess) -> None:
    """A small body has its time-out as a whole: one byte now and then does not keep it alive."""
    with gateway.connect() as sock:
        sock.sendall(
            b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        )
        started = time.monotonic()
        while not select.select([sock], [], [], 0.2)[0]:
            sock.sendall(b" ")
            assert time.monotonic() - started < 15
        assert problem_in(read_to_end(sock))["code"] == "body_timeout"


# -- pages of other origins ------------------------------------------------------------------------------------------


def test_preflight(gateway: GatewayProcess) -> None:
    """A browser may send the headers a client needs, without credentials."""
    headers = {"Origin": "https://crm.example", "Access-Control-Request-Method": "PATCH"}
    answer = gateway.request("OPTIONS", "/files/1", headers=headers)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    allowed = {h.strip() for h in answer.headers["Access-Control-Allow-Headers"].split(",")}
    needed = {"Authorization", "Content-Type", "Content-Digest", "Idempotency-Key", "If-Match", "Range", "X-Request-Id"}
    assert needed | {"Upload-Offset"} <= allowed
    assert not allowed & {"Cookie", "*"}
    assert "Access-Control-Allow-Credentials" not in answer.headers
    problem_of(gateway.request("OPTIONS", "/nothing"), 404, "not_found")


def test_errors_can_be_read_by_pages_too(gateway: GatewayProcess) -> None:
    """An error carries the CORS headers like any answer."""
    answer = gateway.get("/files", headers={"Origin": "https://crm.example"})
    problem_of(answer, 401, "unauthenticated")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"ETag", "Location", "X-Request-Id"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))


def test_answers_do_not_show_the_inside(gateway: GatewayProcess, desk: Desk) -> None:
    """What breaks inside a service is 500 internal_error without a word about it."""
    desk.rows[1] = {"id": 1, "user_id": 1}  # a row that breaks the route
    answer = gateway.get("/files/1", headers=bearer())
    problem_of(answer, 500, "internal_error")
    assert "KeyError" not in answer.text
    wait_until(lambda: "KeyError" in gateway.program.output())


def test_tokens_are_not_logged(gateway: GatewayProcess) -> None:
    """Neither tokens nor passwords appear in the log."""
    secret = token(5)
    gateway.get("/files", headers={"Authorization": f"Bearer {secret}"})
    gateway.request("POST", "/users", json={"login": "abc", "password": "very-secret-1"})
    wait_until(lambda: '"/users"' in gateway.program.output())
    assert secret not in gateway.program.output()
    assert "very-secret-1" not in gateway.program.output()


def test_continue_is_sent_only_when_the_body_is_wanted(gateway: GatewayProcess) -> None:
    """Expect: 100-continue gets 100 from a request that will be read, and 401 at once from one that will not."""
    body = b'{"login":"abc","password":"x"}'
    head = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    with gateway.connect() as sock:
        sock.sendall(head + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        assert head_of(sock) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert b"201" in read_to_end(sock).split(b"\r\n")[0]
    with gateway.connect() as sock:
        sock.sendall(REQUEST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert problem_in(read_to_end(sock))["status"] == 401


def test_settings(broker: Broker, tmp_path: Path, gateway: GatewayProcess) -> None:
    """DOCSAVE_REGISTRATION=admin and DOCSAVE_CORS_ORIGINS are honoured: 401 first, then 422, then 403."""
    strict = GatewayProcess(
        broker.amqp_uri, tmp_path, REGISTRATION="admin", CORS_ORIGINS="https://a.example,https://b.example"
    )
    try:
        new: dict[str, Any] = {"login": "abc", "password": "secret123"}
        problem_of(strict.request("POST", "/users", json={"x": 1}), 401, "unauthenticated")
        problem_of(strict.request("POST", "/users", json={**new, "x": 1}, headers=bearer()), 422, "invalid_input")
        problem_of(strict.request("POST", "/users", json=new, headers=bearer()), 403, "forbidden")
        assert strict.request("POST", "/users", json=new, headers=bearer(9, "admin")).status_code == 201
        answers = [strict.get("/health/live", headers={"Origin": f"https://{x}.example"}).headers for x in "bc"]
        assert [a.get("Access-Control-Allow-Origin") for a in answers] == ["https://b.example", None]
        assert [a["Vary"] for a in answers] == ["Origin", "Origin"]
    finally:
        strict.stop()


def test_the_socket_module_is_green() -> None:
    """The tests' own sockets cooperate with the stand-ins in this process."""
    assert socket.socket.__module__.startswith("eventlet")
