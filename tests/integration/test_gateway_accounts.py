"""Accounts at the HTTP edge: who may call what, in which order it is refused, and how soon a revocation counts."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from nameko.standalone.rpc import ClusterRpcProxy

from docsave_services.errors import NotFound, TooManyRequests, Unauthenticated
from tests.integration.gateway_process import Desk, GatewayProcess, bearer, problem_of, stand_ins, stop_all
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

DESK = Desk()
ADMIN = bearer(9, "admin", session_id="a" * 32)
PROXY = "203.0.113.9"
READ_KEY, WRITE_KEY, FULL_KEY = (f"dsk_{letter * 40}" for letter in "rwf")
PAIR = {"access_token": "a", "token_type": "Bearer", "expires_in": 900, "refresh_token": "b"}


@pytest.fixture(scope="module")
def services(broker: Broker) -> Iterator[None]:
    containers = stand_ins(broker.amqp_uri, DESK)
    yield
    stop_all(containers)


@pytest.fixture(scope="module")
def gateway(broker: Broker, services: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(broker.amqp_uri, tmp_path_factory.mktemp("gateway"), TRUSTED_PROXIES="127.0.0.0/8,::1")
    # Its port is open a moment before it can hear answers over the bus; a request in between is 503.
    wait_until(lambda: gateway.get("/files/1", headers=bearer()).status_code == 404, 20)
    yield gateway
    gateway.stop()


@pytest.fixture(autouse=True)
def desk(gateway: GatewayProcess) -> Desk:
    DESK.clear()
    DESK.keys.update(STANDING_KEYS)
    return DESK


def add_key(key: str, scopes: list[str], user_id: int = 1, **fields: Any) -> dict[str, Any]:
    """A key that works from now on; each has a number of its own, because the gateway remembers ended ones."""
    number = next(NUMBERS)
    answer = {"key_id": number, "user_id": user_id, "role": "user", "version": 0, "scopes": scopes, "expires_at": None}
    DESK.keys[key] = {**answer, **fields}
    return DESK.keys[key]


NUMBERS = itertools.count(1)


def fresh_key(scopes: list[str], **fields: Any) -> str:
    """A key that no test used before: the gateway keeps what it was told about one for a minute."""
    key = f"dsk_{next(NUMBERS):040}"
    add_key(key, scopes, **fields)
    return key


STANDING_KEYS = {
    READ_KEY: add_key(READ_KEY, ["files:read"]),
    WRITE_KEY: add_key(WRITE_KEY, ["files:write"]),
    FULL_KEY: add_key(FULL_KEY, ["files:read", "files:write", "events:read"]),
}


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def asked(method: str) -> list[dict[str, Any]]:
    return [fields for name, fields in DESK.calls if name == method]


# --- sessions


def test_log_in_says_from_where_and_with_what(gateway: GatewayProcess) -> None:
    """POST /login passes the client's address and program on and answers the pair; it is never cached."""
    DESK.answers["log_in"] = PAIR
    answer = gateway.request(
        "POST", "/login", json={"login": "anna", "password": "pw"}, headers={"User-Agent": "crm/1", **via(PROXY)}
    )
    assert (answer.status_code, answer.json(), answer.headers["Cache-Control"]) == (200, PAIR, "no-store")
    assert asked("log_in") == [{"login": "anna", "password": "pw", "address": PROXY, "agent": "crm/1"}]


def test_a_throttled_log_in_says_when_to_come_back(gateway: GatewayProcess) -> None:
    """429 carries Retry-After in seconds, and the helper field is not shown as a wrong field of the input."""
    DESK.answers["log_in"] = TooManyRequests.after(37)
    answer = gateway.request("POST", "/login", json={"login": "anna", "password": "pw"})
    problem = problem_of(answer, 429, "too_many_requests")
    assert answer.headers["Retry-After"] == "37"
    assert "errors" not in problem


def test_refresh_and_log_out(gateway: GatewayProcess) -> None:
    """Both need no access token, only the refresh token; logging out is 204 with an empty body."""
    DESK.answers["refresh"] = PAIR
    answer = gateway.request("POST", "/token/refresh", json={"refresh_token": "dsr_x"})
    assert (answer.status_code, answer.json()) == (200, PAIR)
    left = gateway.request("POST", "/logout", json={"refresh_token": "dsr_x"})
    assert (left.status_code, left.content) == (204, b"")
    given = {"refresh_token": "dsr_x", "address": "127.0.0.1"}
    assert (asked("refresh"), asked("log_out")) == ([given], [given])
    DESK.answers["refresh"] = Unauthenticated("The refresh token is not valid.")
    problem_of(gateway.request("POST", "/token/refresh", json={"refresh_token": "dsr_x"}), 401, "unauthenticated")


@pytest.mark.parametrize("body", [{}, {"refresh_token": 1}, {"refresh_token": ""}, {"refresh_token": "x", "id": 1}])
@pytest.mark.parametrize("path", ["/token/refresh", "/logout"])
def test_bad_refresh_bodies(gateway: GatewayProcess, path: str, body: dict[str, Any]) -> None:
    """A missing, wrong or unknown field is 422 and nobody is asked."""
    problem_of(gateway.request("POST", path, json=body), 422, "invalid_input")
    assert DESK.calls == []


def test_people_see_and_end_their_sessions(gateway: GatewayProcess) -> None:
    """The one that asks is marked; ending says who asks from where; nobody else's account can be named."""
    mine, other = "5" * 32, "6" * 32
    DESK.answers["list_sessions"] = [{"id": mine}, {"id": other}]
    me = {**bearer(5, session_id=mine), **via(PROXY)}
    items = gateway.get("/sessions", headers=me).json()["items"]
    assert [(item["id"], item["current"]) for item in items] == [(mine, True), (other, False)]
    for path in (f"/sessions/{other}", "/sessions"):
        answer = gateway.request("DELETE", path, headers=me)
        assert (answer.status_code, answer.content) == (204, b"")
    asks = {"user_id": 5, "by": 5, "address": PROXY, "session_id": mine, "key_id": None}
    assert asked("list_sessions") == [{"user_id": 5}]
    assert asked("end_session") == [{**asks, "session": other}]
    assert asked("end_other_sessions") == [asks]


@pytest.mark.parametrize("session", ["x", "5" * 31, "5" * 33, "A" * 32, "%00", "..", "1"])
def test_what_cannot_be_a_session_is_not_found(gateway: GatewayProcess, session: str) -> None:
    """404, and nobody is asked; one that the service does not know is 404 too."""
    problem_of(gateway.request("DELETE", f"/sessions/{session}", headers=bearer()), 404, "not_found")
    assert asked("end_session") == []
    DESK.answers["end_session"] = NotFound()
    problem_of(gateway.request("DELETE", f"/sessions/{'5' * 32}", headers=bearer()), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/sessions"), ("DELETE", "/sessions"), ("DELETE", f"/sessions/{'5' * 32}")]
)
def test_sessions_want_a_token(gateway: GatewayProcess, method: str, path: str) -> None:
    """401 without one, and nobody is asked."""
    problem_of(gateway.request(method, path), 401, "unauthenticated")
    assert DESK.calls == []


# --- revocation


def test_what_this_process_revoked_counts_at_once(gateway: GatewayProcess) -> None:
    """After a log-out through this gateway its session's access token is refused by the very next request."""
    session = "1" * 32
    DESK.answers["get"] = {"id": 1}
    assert gateway.get("/users/me", headers=bearer(session_id=session)).ok
    DESK.revoke("session", session)
    gateway.request("POST", "/logout", json={"refresh_token": "dsr_x"})
    problem_of(gateway.get("/users/me", headers=bearer(session_id=session)), 401, "unauthenticated")


@pytest.mark.parametrize("told", [True, False], ids=["event", "pull"])
def test_what_another_process_revoked_counts_within_5_seconds(
    gateway: GatewayProcess, broker: Broker, told: bool
) -> None:
    """By the broadcast event, and without it by the pull; the same user's other session goes on."""
    session, other = f"{told}".ljust(32, "2"), f"{told}".ljust(32, "3")
    DESK.answers["get"] = {"id": 1}
    assert gateway.get("/users/me", headers=bearer(session_id=session)).ok
    item = DESK.revoke("session", session)
    if told:
        DESK.revoked.pop()  # the pull will not bring it: what is seen is the event's work
        item["seq"] = 10**6
        with ClusterRpcProxy({"AMQP_URI": broker.amqp_uri}, timeout=5) as rpc:
            rpc.users.tell(item)
    wait_until(lambda: gateway.get("/users/me", headers=bearer(session_id=session)).status_code == 401, 5)
    assert gateway.get("/users/me", headers=bearer(session_id=other)).ok


def test_older_tokens_of_a_changed_account_are_refused(gateway: GatewayProcess) -> None:
    """A version below the revocation's is refused, the version itself and other accounts are not."""
    DESK.answers["get"] = {"id": 51}
    DESK.revoke("user", 51, min_version=3)
    gateway.request("POST", "/logout", json={"refresh_token": "dsr_x"})
    problem_of(gateway.get("/users/me", headers=bearer(51, version=2)), 401, "unauthenticated")
    assert gateway.get("/users/me", headers=bearer(51, version=3)).ok
    assert gateway.get("/users/me", headers=bearer(52, version=0)).ok


def test_tokens_cost_no_call(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A hundred authenticated requests ask nobody about their token; the pulls are the clock's, not theirs."""
    DESK.row("0" * 64, 1)
    pulls, session = len(DESK.pulls), requests.Session()
    for _ in range(100):
        assert session.get(f"{gateway.url}/files/1", headers=bearer()).ok
    assert DESK.calls == []
    assert len(DESK.pulls) - pulls <= 5


def test_a_gateway_that_does_not_know_lets_nobody_in(broker: Broker, services: None, tmp_path_factory: Any) -> None:
    """A process that starts while ``users`` does not answer says 503, but 401 to what is no token; then works."""

    def fail() -> None:
        raise NotFound

    DESK.before_pull = fail
    DESK.row("0" * 64, 1)
    late = GatewayProcess(broker.amqp_uri, tmp_path_factory.mktemp("late"))
    try:
        answer = late.get("/files/1", headers=bearer())
        problem_of(answer, 503, "unavailable")
        assert answer.headers["Retry-After"]
        problem_of(late.get("/files/1", headers=with_key("nonsense")), 401, "unauthenticated")
        DESK.before_pull = lambda: None
        wait_until(lambda: late.get("/files/1", headers=bearer()).ok, 5)
    finally:
        late.stop()


# --- administrators

ADMIN_CALLS = [
    ("GET", "/users", {}, None),
    ("GET", "/users/7", {}, None),
    ("PATCH", "/users/7", {}, {"active": False}),
    ("GET", "/audit", {}, None),
]


@pytest.mark.parametrize(("method", "path", "query", "body"), ADMIN_CALLS)
def test_only_administrators_in_person(gateway: GatewayProcess, method: str, path: str, query: Any, body: Any) -> None:
    """401 without a token, 403 for a user and for any key, also an administrator's; nobody is asked."""
    key = fresh_key(["files:read", "files:write", "events:read"], role="admin")
    problem_of(gateway.request(method, path, json=body), 401, "unauthenticated")
    problem_of(gateway.request(method, path, json=body, headers=bearer()), 403, "forbidden")
    answer = gateway.request(method, path, json=body, headers=with_key(key))
    problem_of(answer, 403, "insufficient_scope")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
    assert asked("get") == asked("update") == asked("list") == asked("audit") == []


def test_administrators_list_and_read(gateway: GatewayProcess) -> None:
    """Queries and ids travel to the service, its page comes back as it is."""
    DESK.answers.update(list={"items": [], "next": None}, get={"id": 7}, audit={"items": [], "next": "c"})
    assert gateway.get("/users?limit=5&q=an&after=c", headers=ADMIN).json() == {"items": [], "next": None}
    assert gateway.get("/users/7", headers=ADMIN).json() == {"id": 7}
    query = "/audit?limit=2&action=login&user_id=7&since=2026-11-24T11:15:00%2B01:00"
    assert gateway.get(query, headers=ADMIN).json()["next"] == "c"
    assert asked("list") == [{"limit": 5, "after": "c", "q": "an"}]
    assert asked("get") == [{"user_id": 7, "details": True}]
    since = "2026-11-24T10:15:00.000Z"
    assert asked("audit") == [{"limit": 2, "after": None, "action": "login", "user_id": 7, "since": since}]


def test_administrators_change_accounts(gateway: GatewayProcess) -> None:
    """Only what was sent is changed, and who did it from where with which session is told; null ends a quota."""
    DESK.answers["update"] = {"id": 7}
    body = {"active": False, "quota_bytes": None}
    assert gateway.request("PATCH", "/users/7", json=body, headers={**ADMIN, **via(PROXY)}).json() == {"id": 7}
    actor = {"by": 9, "address": PROXY, "session_id": "a" * 32, "key_id": None}
    assert asked("update") == [{"user_id": 7, "details": True, **body, **actor}]


@pytest.mark.parametrize(
    "body",
    [
        {"role": "root"},
        {"active": 1},
        {"active": None},
        {"quota_bytes": -1},
        {"quota_bytes": 1.5},
        {"quota_bytes": True},
        {"name": None},
        {"login": "x"},
        {"password": "12345678"},
        {"id": 8},
    ],
)
def test_invalid_comes_before_forbidden(gateway: GatewayProcess, body: dict[str, Any]) -> None:
    """401, then 422 naming the field, then 403, then 404."""
    problem_of(gateway.request("PATCH", "/users/7", json=body), 401, "unauthenticated")
    for headers in (bearer(), ADMIN, with_key(READ_KEY)):
        answer = gateway.request("PATCH", "/users/7", json=body, headers=headers)
        assert [e["field"] for e in problem_of(answer, 422, "invalid_input")["errors"]] == list(body)
    DESK.answers["update"] = NotFound()
    good = {"name": "x"}
    problem_of(gateway.request("PATCH", "/users/7", json=good, headers=bearer()), 403, "forbidden")
    problem_of(gateway.request("PATCH", "/users/7", json=good, headers=ADMIN), 404, "not_found")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "x=1", "since=yesterday", "user_id=0", "after=" + "x" * 5000]
)
def test_bad_queries(gateway: GatewayProcess, query: str) -> None:
    """Wrong and unknown parameters of the audit trail are 422."""
    problem_of(gateway.get(f"/audit?{query}", headers=ADMIN), 422, "invalid_input")


# --- API keys


def test_making_listing_and_ending_a_key(gateway: GatewayProcess) -> None:
    """The calls reach the service for the caller's own account; the new key's answer has its address."""
    DESK.answers.update(create_key={"id": 3, "key": "dsk_once"}, list_keys=[{"id": 3}])
    body = {"name": "CRM", "scopes": ["files:read"], "expires_at": "2027-01-01T00:00:00Z"}
    made = gateway.request("POST", "/api-keys", json=body, headers=bearer(5, session_id="5" * 32))
    assert (made.status_code, made.headers["Location"]) == (201, "/api-keys/3")
    assert made.json() == {"id": 3, "key": "dsk_once"}
    assert gateway.get("/api-keys", headers=bearer(5)).json() == {"items": [{"id": 3}]}
    ended = gateway.request("DELETE", "/api-keys/3", headers=bearer(5, session_id="5" * 32))
    assert (ended.status_code, ended.content) == (204, b"")
    actor = {"by": 5, "address": "127.0.0.1", "session_id": "5" * 32, "key_id": None}
    expires_at = "2027-01-01T00:00:00.000Z"
    assert asked("create_key") == [{**body, "expires_at": expires_at, "user_id": 5, **actor}]
    assert asked("list_keys") == [{"user_id": 5}]
    assert asked("revoke_key") == [{"user_id": 5, **actor, "key_id": 3}]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "", "scopes": ["files:read"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["files:all"]},
        {"name": "x", "scopes": "files:read"},
        {"name": "x", "scopes": ["files:read"], "expires_at": "tomorrow"},
        {"name": "x", "scopes": ["files:read"], "expires_at": "2026-02-30T00:00:00Z"},
        {"name": "x", "scopes": ["files:read"], "expires_at": "2026-W01"},
        {"name": "x", "scopes": ["files:read"], "user_id": 1},
    ],
)
def test_bad_keys_are_not_made(gateway: GatewayProcess, body: dict[str, Any]) -> None:
    """Scopes, names and times that cannot be are 422."""
    problem_of(gateway.request("POST", "/api-keys", json=body, headers=bearer()), 422, "invalid_input")
    assert DESK.calls == []


FILE_CALLS = [
    ("POST", "/files?name=a.txt", "files:write"),
    ("GET", "/files", "files:read"),
    ("GET", "/files/1", "files:read"),
    ("GET", "/files/1/content", "files:read"),
    ("HEAD", "/files/1/content", "files:read"),
    ("PUT", "/files/1/content", "files:write"),
    ("DELETE", "/files/1", "files:write"),
]


@pytest.mark.parametrize(("method", "path", "scope"), FILE_CALLS)
def test_each_files_route_wants_its_scope(gateway: GatewayProcess, method: str, path: str, scope: str) -> None:
    """A key with the scope gets in, one with all others does not, and nothing changes."""
    DESK.add(b"x", gateway.blob_dir)
    others = sorted({"files:read", "files:write", "events:read"} - {scope})
    lacking, having = fresh_key(others), fresh_key([scope])
    refused = gateway.request(method, path, headers=with_key(lacking), data=b"x")
    assert refused.status_code == 403
    if method != "HEAD":
        problem_of(refused, 403, "insufficient_scope")
    assert DESK.batches == []
    assert gateway.request(method, path, headers=with_key(having), data=b"x").ok


def test_renaming_wants_the_scope_after_a_valid_name(gateway: GatewayProcess) -> None:
    """PATCH: 422 for a bad name, then 403 for a key that may only read, then it works with one that may write."""
    DESK.row("0" * 64, 1)
    bad, good = {"name": "a/b"}, {"name": "b.txt"}
    problem_of(gateway.request("PATCH", "/files/1", json=bad, headers=with_key(READ_KEY)), 422, "invalid_input")
    problem_of(gateway.request("PATCH", "/files/1", json=good, headers=with_key(READ_KEY)), 403, "insufficient_scope")
    assert gateway.request("PATCH", "/files/1", json=good, headers=with_key(WRITE_KEY)).ok
    assert DESK.changes[0]["key_id"] == DESK.keys[WRITE_KEY]["key_id"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/users/me", None),
        ("PATCH", "/users/me", {"name": "x"}),
        ("GET", "/sessions", None),
        ("DELETE", "/sessions", None),
        ("DELETE", f"/sessions/{'5' * 32}", None),
        ("POST", "/api-keys", {"name": "x", "scopes": ["files:read"]}),
        ("GET", "/api-keys", None),
        ("DELETE", "/api-keys/1", None),
    ],
)
def test_accounts_are_for_people(gateway: GatewayProcess, method: str, path: str, body: Any) -> None:
    """No key, whatever its scopes, reads or changes an account, makes keys or ends them."""
    answer = gateway.request(method, path, json=body, headers=with_key(FULL_KEY))
    problem_of(answer, 403, "insufficient_scope")
    assert {name for name, _ in DESK.calls} <= {"verify_key"}


def test_a_key_is_asked_about_once_a_minute(gateway: GatewayProcess) -> None:
    """Ten requests with a key ask once; an unknown key is 401 in the same words as a bad token."""
    DESK.row("0" * 64, 1)
    key = "dsk_" + "1" * 40
    add_key(key, ["files:read"])
    assert all(gateway.get("/files/1", headers=with_key(key)).ok for _ in range(10))
    assert len(asked("verify_key")) == 1
    problem = problem_of(gateway.get("/files/1", headers=with_key("dsk_" + "0" * 40)), 401, "unauthenticated")
    assert problem["detail"] == "A valid access token is required."


@pytest.mark.parametrize("key", ["dsk_", "dsk_x", "dsk_" + "x" * 300, "dsk_a+b/c=" + "x" * 30])
def test_what_cannot_be_a_key_costs_no_call(gateway: GatewayProcess, key: str) -> None:
    """401, and nobody is asked."""
    problem_of(gateway.get("/files/1", headers=with_key(key)), 401, "unauthenticated")
    assert DESK.calls == []


def test_a_revoked_key_ends_at_once(gateway: GatewayProcess) -> None:
    """A key whose answer is still kept is refused by the request after its revocation."""
    DESK.row("0" * 64, 1)
    key = "dsk_" + "2" * 40
    row = add_key(key, ["files:read"])
    assert gateway.get("/files/1", headers=with_key(key)).ok
    DESK.revoke("key", row["key_id"])
    del DESK.keys[key]
    assert gateway.request("DELETE", f"/api-keys/{row['key_id']}", headers=bearer()).status_code == 204
    problem_of(gateway.get("/files/1", headers=with_key(key)), 401, "unauthenticated")


def test_something_about_the_owner_makes_the_key_be_asked_about_again(gateway: GatewayProcess) -> None:
    """After a new password the key goes on, with a lowered role as a user's; after disabling it ends."""
    DESK.row("0" * 64, 1, user_id=1)
    key = "dsk_" + "3" * 40
    row = add_key(key, ["files:read"], user_id=61, role="admin")
    assert gateway.get("/files/1", headers=with_key(key)).ok
    row.update(role="user", version=1)
    DESK.revoke("user", 61, min_version=1)
    gateway.request("POST", "/logout", json={"refresh_token": "dsr_x"})
    problem_of(gateway.get("/files/1", headers=with_key(key)), 404, "not_found")
    DESK.revoke("user", 61, min_version=2)
    del DESK.keys[key]
    gateway.request("POST", "/logout", json={"refresh_token": "dsr_x"})
    problem_of(gateway.get("/files/1", headers=with_key(key)), 401, "unauthenticated")


def test_an_expired_key_is_refused(gateway: GatewayProcess) -> None:
    """The kept answer does not outlive the key."""
    DESK.row("0" * 64, 1)
    key = "dsk_" + "4" * 40
    add_key(key, ["files:read"], expires_at="2020-01-01T00:00:00Z")
    problem_of(gateway.get("/files/1", headers=with_key(key)), 401, "unauthenticated")


# --- where requests come from


def via(*addresses: str) -> dict[str, str]:
    return {"X-Forwarded-For": ", ".join(addresses)}


def test_addresses_behind_a_proxy_that_is_not_trusted_do_not_count(
    broker: Broker, services: None, tmp_path_factory: Any
) -> None:
    """By default X-Forwarded-For is a client's own words and changes nothing."""
    plain = GatewayProcess(broker.amqp_uri, tmp_path_factory.mktemp("plain"))
    try:
        DESK.answers["log_in"] = PAIR
        wait_until(lambda: plain.get("/files/1", headers=bearer()).status_code == 404, 20)
        plain.request("POST", "/login", json={"login": "anna", "password": "pw"}, headers=via(PROXY))
        assert asked("log_in")[0]["address"] == "127.0.0.1"
    finally:
        plain.stop()


def test_changes_of_files_say_from_where(gateway: GatewayProcess) -> None:
    """A change carries the client's address and session for the audit trail."""
    DESK.row("0" * 64, 1)
    gateway.request("DELETE", "/files/1", headers={**bearer(session_id="7" * 32), **via("198.51.100.7", PROXY)})
    [change] = DESK.changes
    assert (change["by"], change["address"], change["session_id"], change["key_id"]) == (1, PROXY, "7" * 32, None)
