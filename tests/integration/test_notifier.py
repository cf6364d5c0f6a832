"""The bridge as a process: who hears what, in which order, over every transport and client."""
# ruff: noqa: S310 - the addresses opened here are the test's own

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
import socketio.exceptions
from nameko.standalone.rpc import ClusterRpcProxy

from tests.support.notifier import Accounts, Bridge, Journal, NodeClient, Recorder, token
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

TRANSPORTS = pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="+".join)
JAVASCRIPT = pytest.mark.parametrize("package", ["socket.io-client", "socket.io-client-v3"])


@pytest.fixture(scope="module")
def journal(broker):
    source = Journal(broker.amqp_uri)
    source.start()
    yield source
    source.stop()


@pytest.fixture(scope="module")
def accounts(broker):
    stand_in = Accounts(broker.amqp_uri)
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture(scope="module")
def bridge(broker, journal, accounts, tmp_path_factory):
    process = Bridge(broker.amqp_uri, tmp_path_factory.mktemp("notifier"))
    try:
        process.wait_ready()
        wait_until(lambda: "journal_followed" in process.output(), 20)
        yield process
    finally:
        process.program.stop()
    assert "Traceback" not in process.output(), process.output()[-4000:]


@pytest.fixture
def join(bridge):
    """``join(event, token)`` is a connected client that did that; all leave at the end."""
    clients = []

    def connect(event=None, payload=None, transports=("websocket",), auth=None):
        client = Recorder(bridge.url, list(transports), auth)
        clients.append(client)
        if event is not None:
            client.ack = client.call(event, payload)
        return client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def node(bridge):
    """``node(package, transports, auth)`` is a JavaScript client."""
    clients = []

    def start(package, transports="websocket", auth=None):
        client = NodeClient(package, bridge.url, transports, auth)
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.close()


@TRANSPORTS
def test_users_hear_their_own_and_administrators_all(journal, join, transports):
    """Each user gets the events of their own files only, an administrator gets all, each once and in order."""
    first = join("User_connect", {"token": token(1)}, transports)
    second = join("User_connect", {"token": token(2)}, transports)
    admin = join("Admin_connect", {"token": token(9, "admin")}, transports)
    assert first.ack == {"ok": True, "user_id": 1, "cursor": journal.head}
    events = [
        journal.add(user, kind)
        for user, kind in [(1, "File_create"), (2, "File_create"), (1, "File_update"), (2, "File_delete")]
    ]
    wait_until(lambda: len(admin.heard) >= 4)
    assert admin.heard == [(f"Notify_{event['type']}", event) for event in events]
    wait_until(lambda: len(first.heard) >= 2 and len(second.heard) >= 2)
    assert first.heard == [("Notify_File_create", events[0]), ("Notify_File_update", events[2])]
    assert second.heard == [("Notify_File_create", events[1]), ("Notify_File_delete", events[3])]


def test_an_administrator_who_connects_as_a_user_hears_their_own_only(journal, join):
    """``User_connect`` with an administrator's token joins that user's room, not the administrators'."""
    client = join("User_connect", token(9, "admin"))
    journal.add(1)
    mine = journal.add(9)
    wait_until(lambda: client.heard)
    assert client.heard == [("Notify_File_create", mine)]


def test_many_events_keep_their_order(journal, join):
    """300 events in a burst arrive once each and in the order of the journal."""
    admin = join("Admin_connect", token(9, "admin"))
    expected = [journal.add(n % 5 + 1)["event_id"] for n in range(300)]
    wait_until(lambda: len(admin.ids) >= 300, 20)
    assert admin.ids == expected


def test_a_lost_message_is_read_from_the_journal(journal, join):
    """What the bus lost arrives before the next event, and a repeated message is not delivered twice."""
    client = join("User_connect", token(1))
    lost = journal.add(1, told=False)
    told = journal.add(1)
    journal.tell(told)
    journal.tell(lost)
    wait_until(lambda: len(client.ids) >= 2)
    last = journal.add(1)
    wait_until(lambda: len(client.ids) >= 3)
    assert client.ids == [lost["event_id"], told["event_id"], last["event_id"]]


def test_a_lost_last_message_is_found_by_the_timer(journal, join):
    """An event that nobody announces arrives with the next look into the journal."""
    client = join("User_connect", token(1))
    lost = journal.add(1, told=False)
    wait_until(lambda: client.ids, 8)
    assert client.ids == [lost["event_id"]]


@pytest.mark.parametrize("form", ["object", "bare", "json text", "json string"])
def test_every_form_of_identification(join, form):
    """The token comes in an object, bare, or as JSON text, as the Amritb tool sends it; other fields do not count."""
    mine = token(5)
    payload = {
        "object": {"token": mine, "user_id": 1},
        "bare": mine,
        "json text": json.dumps({"token": mine}),
        "json string": json.dumps(mine),
    }[form]
    ack = join("User_connect", payload).ack
    assert (ack["ok"], ack["user_id"]) == (True, 5)


@TRANSPORTS
@pytest.mark.parametrize("event", ["User_connect", "Admin_connect"])
def test_a_bad_token_hears_nothing_and_is_closed(journal, join, event, transports):
    """An expired, foreign or forged token is refused with an ack; the socket gets no event and is closed."""
    client = join(event, {"token": token(1, "admin", age=3600)}, transports)
    journal.add(1)
    wait_until(lambda: client.closed, 5)
    assert client.ack["ok"] is False
    assert client.ack["code"] == "unauthenticated"
    assert client.heard == []


def test_admin_connect_needs_an_administrator(journal, join):
    """A user's token is refused for ``Admin_connect``, also from a socket that was welcome before."""
    client = join("User_connect", token(1))
    assert client.call("Admin_connect", token(1))["code"] == "forbidden"
    journal.add(1)
    wait_until(lambda: client.closed, 5)
    assert client.heard == []


@TRANSPORTS
def test_handshake_auth_identifies(journal, join, transports):
    """A token in the handshake does what ``User_connect`` does."""
    client = join(auth={"token": token(3)}, transports=transports)
    event = journal.add(3)
    wait_until(lambda: client.heard)
    assert client.heard == [("Notify_File_create", event)]


@TRANSPORTS
@pytest.mark.parametrize("auth", [{"token": "nonsense"}, {"token": 7}, "text", [1]], ids=repr)
def test_bad_handshake_auth_is_refused(join, auth, transports):
    """The connection is refused when the handshake's token does not hold."""
    with pytest.raises(socketio.exceptions.ConnectionError):
        join(auth=auth, transports=transports)


def test_a_new_identity_replaces_the_old(journal, join):
    """A socket that identifies itself again hears of the new identity only, and may become an administrator's."""
    client = join("User_connect", token(1))
    assert client.call("User_connect", token(2))["user_id"] == 2
    journal.add(1)
    second = journal.add(2)
    wait_until(lambda: client.heard)
    assert client.heard == [("Notify_File_create", second)]
    assert client.call("Admin_connect", token(9, "admin"))["ok"]
    other = journal.add(9)
    wait_until(lambda: len(client.heard) == 2)
    assert client.call("User_connect", token(2))["ok"]
    journal.add(9)
    last = journal.add(2)
    wait_until(lambda: len(client.heard) == 3)
    assert client.ids == [second["event_id"], other["event_id"], last["event_id"]]


def test_relay_reaches_the_owner_and_administrators(journal, join):
    """An administrator's own event is passed on, marked, and moves no cursor."""
    owner, other = join("User_connect", token(1)), join("User_connect", token(2))
    admin = join("Admin_connect", token(9, "admin"))
    sent = {"event_id": 10**9, "type": "File_update", "id": 7, "user_id": 1, "name": "é.txt"}
    assert admin.call("File_update", sent) == {"ok": True}
    wait_until(lambda: owner.heard and admin.heard)
    relayed = ("Notify_File_update", {**sent, "relayed": True, "cursor": journal.head})
    assert owner.heard == admin.heard == [relayed]
    live = [journal.add(1), journal.add(2)]
    wait_until(lambda: len(admin.heard) == 3 and len(owner.heard) == 2 and other.heard)
    assert admin.ids[1:] == [event["event_id"] for event in live]
    assert other.heard == [("Notify_File_create", live[1])]


def test_relay_reaches_the_sockets_of_every_bridge(broker, join, journal, accounts, tmp_path):
    """The owner may be connected to another process than the administrator; each hears it once."""
    second = Bridge(broker.amqp_uri, tmp_path)
    elsewhere = None
    try:
        wait_until(lambda: "journal_followed" in second.output(), 20)
        elsewhere = Recorder(second.url, ["websocket"])
        assert elsewhere.call("User_connect", token(1))["ok"]
        here, admin = join("User_connect", token(1)), join("Admin_connect", token(9, "admin"))
        for name in ("first", "last"):
            assert admin.call("File_update", {"id": 7, "user_id": 1, "name": name}) == {"ok": True}
        for client in (elsewhere, here, admin):
            wait_until(lambda c=client: len(c.heard) >= 2)
            assert [payload["name"] for _, payload in client.heard] == ["first", "last"]
    finally:
        if elsewhere is not None:
            elsewhere.close()
        second.program.stop()


def test_owners_and_administrators_hear_which_copies_are_safe(journal, join):
    """After the change itself; it moves no cursor and nobody else hears it."""
    owner, other = join("User_connect", token(1)), join("User_connect", token(2))
    admin = join("Admin_connect", token(9, "admin"))
    event = journal.add(1)
    wait_until(lambda: owner.heard and admin.heard)
    journal.protect({"id": event["id"], "user_id": 1, "version": 1}, {"id": 10**6, "user_id": 2, "version": 3})
    news = {"id": event["id"], "user_id": 1, "version": 1, "cursor": event["cursor"]}
    wait_until(lambda: len(owner.heard) == 2 and len(admin.heard) == 3 and other.heard)
    assert owner.heard[1] == admin.heard[1] == ("Notify_File_protected", news)
    assert other.heard == [("Notify_File_protected", {**news, "id": 10**6, "user_id": 2, "version": 3})]


def test_only_administrators_relay(join):
    """A user's socket, an unidentified one, and an administrator's after ``User_connect`` may not relay."""
    event = {"id": 7, "user_id": 1, "name": "a"}
    watcher = join("Admin_connect", token(9, "admin"))
    former = join("Admin_connect", token(9, "admin"))
    former.call("User_connect", token(9, "admin"))
    for client in (join("User_connect", token(1)), join(), former):
        assert client.call("File_create", event)["code"] == "forbidden"
    assert watcher.heard == []


@pytest.mark.parametrize(
    "payload",
    [None, 5, "text", [], {}, {"id": 1}, {"user_id": 1}, {"id": 1, "user_id": True}, {"id": "1", "user_id": 1},
     {"id": 1, "user_id": 1, "name": "n" * 256}, {"id": 1, "user_id": 1, "admin": True},
     {"id": 1, "user_id": 1, "type": "File_delete"}, {"id": 1, "user_id": 2**63}, {"id": 1, "user_id": 1, "size": -1}],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_malformed_events_are_not_relayed(join, payload):
    """Wrong types, missing and unknown fields and oversized text get an error ack."""
    admin = join("Admin_connect", token(9, "admin"))
    assert admin.call("File_create", payload)["code"] == "invalid_input"
    assert admin.heard == []


@pytest.mark.parametrize("page_origin", ["http://amritb.example", "null"])
def test_pages_of_any_origin_may_poll(bridge, page_origin):
    """A browser on any page, a local file too, may read the polling handshake and passes its preflight."""
    for method in ("GET", "OPTIONS"):
        request = urllib.request.Request(
            f"{bridge.url}/socket.io/?EIO=4&transport=polling", method=method, headers={"Origin": page_origin}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == page_origin


def test_other_paths_are_problem_json(bridge):
    """The port answers its health, and anything else as the API does."""
    with urllib.request.urlopen(f"{bridge.url}/health/live", timeout=5) as answer:
        assert json.load(answer) == {"status": "ok"}
    for path, method, status in [("/nothing", "GET", 404), ("/health/live", "POST", 405), ("/socket.io", "GET", 404)]:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(bridge.url + path, method=method), timeout=5)
        assert (caught.value.code, caught.value.headers["Content-Type"]) == (status, "application/problem+json")
        assert json.load(caught.value)["status"] == status


@JAVASCRIPT
@pytest.mark.parametrize("transports", ["websocket", "polling", "polling,websocket"])
def test_javascript_clients(journal, node, package, transports):
    """The official clients 4.x and 3.1 connect, get their acks and hear of their own events, on every transport."""
    user, admin = node(package, transports), node(package, transports)
    assert user.emit("User_connect", json.dumps({"token": token(1)}))["user_id"] == 1
    assert admin.emit("Admin_connect", token(9, "admin"))["ok"]
    other, mine = journal.add(2), journal.add(1)
    wait_until(lambda: user.events and len(admin.events) == 2)
    assert user.events == [("Notify_File_create", mine)]
    assert admin.events == [("Notify_File_create", other), ("Notify_File_create", mine)]


@JAVASCRIPT
def test_javascript_client_is_refused_and_closed(node, package):
    """A bad token is acked with its code; the client sees that the server closed, and does not come back by itself."""
    client = node(package)
    ack = client.emit("User_connect", "nonsense")
    assert (ack["ok"], ack["code"]) == (False, "unauthenticated")
    assert client.said("disconnect", 5)["disconnect"] == "io server disconnect"


@JAVASCRIPT
def test_javascript_client_with_auth(journal, node, package):
    """The handshake's auth works from JavaScript; a refusal carries the code."""
    client = node(package, auth={"token": token(1)})
    client.said("connect")
    event = journal.add(1)
    wait_until(lambda: client.events)
    assert client.events == [("Notify_File_create", event)]
    refused = node(package, auth={"token": "nonsense"})
    assert refused.said("connect_error")["data"] == {"code": "unauthenticated"}


@JAVASCRIPT
def test_javascript_emit_without_argument(node, package):
    """An event with no payload or two gets an error ack, not silence."""
    client = node(package)
    assert client.emit("User_connect")["code"] == "invalid_input"
    assert client.emit("User_connect", 1, 2)["code"] == "invalid_input"
    assert client.emit("No_such_event", 1)["code"] == "unknown_event"


def test_health_over_rpc(broker, bridge, join):
    """The operator and the gateway see that the journal is followed and how many sockets are open."""
    join("User_connect", token(1))
    with ClusterRpcProxy({"AMQP_URI": broker.amqp_uri}, timeout=5) as rpc:
        health = rpc.notifier.health()
    assert health["journal"] == "ok"
    assert health["sockets"] >= 1
