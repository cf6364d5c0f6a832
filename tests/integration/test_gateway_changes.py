"""The feed ``/changes``: every change once and in order, filtered, and waiting that costs nothing."""

import json
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.gateway_process import GatewayProcess, bearer, problem_of
from tests.support.notifier import Accounts, Journal
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

ADMIN = bearer(9, "admin")
OTHER_EPOCH = "0b0f1e2d-0000-4000-8000-00000000000a"
SOON = 2.0
"""Seconds within which what the bus tells is answered, also on a busy machine."""


@pytest.fixture(scope="module")
def journal(broker: Broker) -> Iterator[Journal]:
    journal = Journal(broker.amqp_uri)
    journal.start()
    yield journal
    journal.stop()


@pytest.fixture(scope="module")
def accounts(broker: Broker) -> Iterator[Accounts]:
    accounts = Accounts(broker.amqp_uri)
    accounts.start()
    yield accounts
    accounts.stop()


@pytest.fixture(scope="module")
def gateway(
    broker: Broker, journal: Journal, accounts: Accounts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(broker.amqp_uri, tmp_path_factory.mktemp("gateway"))
    wait_until(lambda: follows(gateway, journal), 15)
    yield gateway
    gateway.stop()


def follows(gateway: GatewayProcess, journal: Journal) -> bool:
    """Whether the gateway's reader has come to this journal: it answers who waits without a look into it."""
    with Waiting(gateway, f"since={journal.head}&wait=1", ADMIN) as waiting:
        waiting.is_waiting()
        reads = journal.reads
        event = journal.add(404)
        return waiting.page()["items"] == [event] and journal.reads == reads


class Waiting:
    """A request that was sent and whose answer is not awaited yet."""

    def __init__(self, gateway: GatewayProcess, query: str, headers: dict[str, str]) -> None:
        self.socket = gateway.connect()
        self.started = time.monotonic()
        lines = [f"GET /changes?{query} HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def is_waiting(self, seconds: float = 0.3) -> bool:
        """Nothing has come within so long."""
        self.socket.settimeout(seconds)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True

    def answer(self, seconds: float = 40) -> tuple[int, dict]:
        """Status and body, and in ``took`` after how long they came."""
        self.socket.settimeout(seconds)
        received = b""
        while piece := self.socket.recv(65536):
            received += piece
        self.took = time.monotonic() - self.started
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), json.loads(body)

    def page(self) -> dict:
        status, body = self.answer()
        assert status == 200, body
        return body


def numbers(page: dict) -> list[int]:
    return [event["event_id"] for event in page["items"]]


def changes(gateway: GatewayProcess, query: str = "", headers: dict[str, str] = ADMIN) -> dict:
    answer = gateway.get(f"/changes?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_everybody_reads_their_own_and_administrators_all(gateway: GatewayProcess, journal: Journal) -> None:
    """In order, page by page, and nothing after the cursor that the last page gave."""
    start = journal.head
    events = [journal.add(user) for user in (1, 2, 1, 2, 2)]
    page = changes(gateway, f"since={start}&limit=2", bearer(2))
    assert page == {"items": [events[1], events[3]], "cursor": events[3]["cursor"], "more": True}
    page = changes(gateway, f"since={page['cursor']}&limit=2", bearer(2))
    assert page == {"items": [events[4]], "cursor": journal.head, "more": False}
    assert changes(gateway, f"since={page['cursor']}", bearer(2)) == {**page, "items": []}
    assert changes(gateway, f"since={start}")["items"] == events
    assert changes(gateway, "limit=1000")["items"] == journal.events
    assert changes(gateway, "since=now", bearer(2)) == {"items": [], "cursor": journal.head, "more": False}


def test_filters(gateway: GatewayProcess, journal: Journal) -> None:
    """Types together, a folder with what is below it, labels all at once; a waiting reader is filtered alike."""
    start = journal.head
    offer = journal.add(1, folder="clients/acme", labels={"crm.deal": "42", "state": "won"})
    gone = journal.add(1, "File_delete", folder="clients/acmeville", labels={"crm.deal": "421"})
    plain = journal.add(1, "File_update")

    def found(query: str) -> list[int]:
        return numbers(changes(gateway, f"since={start}&{query}", bearer(1)))

    assert found("type=File_delete&type=File_update") == [gone["event_id"], plain["event_id"]]
    assert found("folder=clients/acme") == [offer["event_id"]]
    assert found("folder=clients") == [offer["event_id"], gone["event_id"]]
    assert found("label=crm.deal") == [offer["event_id"], gone["event_id"]]
    assert found("label=crm.deal%3D42&label=state") == [offer["event_id"]]
    with Waiting(gateway, "since=now&wait=20&label=crm.deal%3D42&folder=clients", bearer(1)) as waiting:
        assert waiting.is_waiting()
        journal.add(1, folder="clients")
        journal.add(2, folder="clients", labels={"crm.deal": "42"})
        assert waiting.is_waiting()
        mine = journal.add(1, folder="clients/new", labels={"crm.deal": "42"})
        assert waiting.page() == {"items": [mine], "cursor": journal.head, "more": False}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=x", "since"),
        ("since=", "since"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("wait=31", "wait"),
        ("wait=-1", "wait"),
        ("type=File_move", "type"),
        ("folder=/a", "folder"),
        ("label=-", "label"),
        ("user_id=1", "user_id"),
        ("limit=1&limit=2", "limit"),
    ],
)
def test_bad_queries_name_the_field(gateway: GatewayProcess, query: str, field: str) -> None:
    """422, whatever is wrong."""
    problem = problem_of(gateway.get(f"/changes?{query}", headers=ADMIN), 422, "invalid_input")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_foreign_or_future_cursor_is_gone(gateway: GatewayProcess, journal: Journal) -> None:
    """410, at once, also for one who would wait; never an empty list."""
    for since in (f"{OTHER_EPOCH}:0", f"{journal.epoch}:{len(journal.events) + 1}", "999999"):
        problem_of(gateway.get(f"/changes?since={since}&wait=20", headers=ADMIN), 410, "cursor_expired")


def test_a_key_needs_the_scope(gateway: GatewayProcess, accounts: Accounts, journal: Journal) -> None:
    """``events:read``; without it 403, without any credential 401."""
    accounts.add_key("dsk_events_0123456789", 1, ["events:read"])
    accounts.add_key("dsk_files_01234567890", 1, ["files:read", "files:write"])
    start = journal.head
    mine = journal.add(1)
    journal.add(2)
    with_key = changes(gateway, f"since={start}", {"Authorization": "Bearer dsk_events_0123456789"})
    assert with_key["items"] == [mine]
    refused = gateway.get("/changes", headers={"Authorization": "Bearer dsk_files_01234567890"})
    problem_of(refused, 403, "insufficient_scope")
    problem_of(gateway.get("/changes"), 401, "unauthenticated")


def test_waiting_ends_with_the_change_or_with_time(gateway: GatewayProcess, journal: Journal) -> None:
    """A change is answered at once; others' changes are not, but the cursor is past them when the time is over."""
    with (
        Waiting(gateway, "since=now&wait=2", bearer(2)) as idle,
        Waiting(gateway, "since=now&wait=30", bearer(1)) as mine,
    ):
        assert idle.is_waiting()
        event = journal.add(1)
        told = time.monotonic()
        assert mine.page()["items"] == [event]
        assert time.monotonic() - told < SOON
        assert idle.page() == {"items": [], "cursor": event["cursor"], "more": False}
        assert idle.took >= 2


def test_a_message_that_the_bus_loses_costs_seconds(gateway: GatewayProcess, journal: Journal) -> None:
    """The process looks into the journal every few seconds, and wakes those whom it concerns, with all of it."""
    with (
        Waiting(gateway, "since=now&wait=25", bearer(1)) as mine,
        Waiting(gateway, "since=now&wait=6", bearer(2)) as idle,
    ):
        assert mine.is_waiting()
        lost = [journal.add(1, told=False), journal.add(1, told=False)]
        assert mine.page() == {"items": lost, "cursor": lost[1]["cursor"], "more": False}
        assert idle.page()["items"] == []


def test_a_mangled_message_does_no_harm(gateway: GatewayProcess, journal: Journal) -> None:
    """Hints that are not whole are answered from the journal."""
    with Waiting(gateway, "since=now&wait=20", bearer(1)) as waiting:
        assert waiting.is_waiting()
        event = journal.add(1, told=False)
        for mangled in ({**event, "labels": None}, {"type": event["type"]}, {**event, "event_id": "x"}):
            journal.tell(mangled)
        journal.tell({key: value for key, value in event.items() if key != "folder"})
        assert numbers(waiting.page()) == [event["event_id"]]
    assert gateway.program.running


def test_messages_in_any_order_are_read_in_order(gateway: GatewayProcess, journal: Journal) -> None:
    """Shuffled and repeated: a reader that goes on from its cursors sees 1, 2, 3…"""
    start = journal.head
    events = [journal.add(1, told=False) for _ in range(60)]
    shuffled = sorted(events * 2, key=lambda event: (event["event_id"] * 7919) % 61)

    def tell() -> None:
        for event in shuffled:
            journal.tell(event)

    teller = threading.Thread(target=tell)
    teller.start()
    seen: list[int] = []
    cursor = start
    while len(seen) < len(events):
        page = changes(gateway, f"since={cursor}&wait=20&limit=7", bearer(1))
        seen += numbers(page)
        cursor = page["cursor"]
    teller.join()
    assert seen == [event["event_id"] for event in events]


def test_another_journal_ends_the_wait(gateway: GatewayProcess, journal: Journal) -> None:
    """The database was restored: who waits is told 410, not left to wait."""
    with Waiting(gateway, "since=now&wait=30", bearer(1)) as waiting:
        assert waiting.is_waiting()
        journal.replace()
        status, problem = waiting.answer(25)
    assert (status, problem["code"]) == (410, "cursor_expired")
    wait_until(lambda: follows(gateway, journal), 15)


def test_a_session_that_ends_gets_nothing_more(gateway: GatewayProcess, accounts: Accounts, journal: Journal) -> None:
    """Whoever was logged out while waiting is answered 401 instead of the change."""
    session = uuid.uuid4().hex
    with Waiting(gateway, "since=now&wait=30", bearer(1, session_id=session)) as waiting:
        assert waiting.is_waiting()
        accounts.revoke("session", session)
        wait_until(lambda: gateway.get("/changes", headers=bearer(1, session_id=session)).status_code == 401)
        journal.add(1)
        status, problem = waiting.answer()
    assert (status, problem["code"]) == (401, "unauthenticated")


def test_a_client_that_goes_ends_its_wait(gateway: GatewayProcess, journal: Journal) -> None:
    """Its connection is closed here too, at once."""
    before = gateway.connections()
    waiting = [Waiting(gateway, f"since={journal.head}&wait=30", bearer(1)) for _ in range(20)]
    assert waiting[-1].is_waiting()
    assert gateway.connections() >= before + 20
    for each in waiting:
        each.socket.close()
    wait_until(lambda: gateway.connections() <= before + 2, SOON)


def test_a_stop_ends_all_waits(broker: Broker, journal: Journal, accounts: Accounts, tmp_path: Path) -> None:
    """SIGTERM answers who waits with nothing new, and does not take the time that they would have waited."""
    gateway = GatewayProcess(broker.amqp_uri, tmp_path)
    try:
        event = journal.add(1)
        with Waiting(gateway, f"since={event['cursor']}&wait=30", bearer(1)) as waiting:
            assert waiting.is_waiting()
            gateway.program.send(signal.SIGTERM)
            stopped = time.monotonic()
            assert waiting.page() == {"items": [], "cursor": event["cursor"], "more": False}
            assert time.monotonic() - stopped < 10  # not the 30 of the wait
            assert gateway.program.wait(30) == 0
    finally:
        gateway.stop()


def test_a_thousand_wait_at_once(gateway: GatewayProcess, journal: Journal) -> None:
    """They hold no worker and make no calls while nothing happens, others are served, and all hear of their change."""
    start, before = journal.head, journal.reads
    waiting = [Waiting(gateway, f"since={start}&wait=30", ADMIN if n % 2 else bearer(1)) for n in range(1000)]
    try:
        wait_until(lambda: gateway.connections() >= 1000 and waiting[-1].is_waiting(0.5), 30)
        reads, began = journal.reads, time.monotonic()
        assert reads - before < 50
        while time.monotonic() - began < 3:
            assert gateway.get("/health/live").elapsed.total_seconds() < 2
        assert journal.reads - reads <= 3
        event = journal.add(1)
        answers = [each.page() for each in waiting]
        assert answers == [{"items": [event], "cursor": event["cursor"], "more": False}] * 1000
        assert journal.reads - reads <= 5
    finally:
        for each in waiting:
            each.socket.close()


def test_too_many_waits_of_one_account_are_refused(gateway: GatewayProcess, journal: Journal) -> None:
    """1,000 may wait; the next one is told to come back, and others still may wait."""
    waiting = [Waiting(gateway, f"since={journal.head}&wait=30", bearer(1)) for _ in range(1000)]
    try:
        wait_until(lambda: gateway.get("/changes?since=now&wait=1", headers=bearer(1)).status_code == 429, 30)
        refused = gateway.get("/changes?since=now&wait=1", headers=bearer(1))
        problem_of(refused, 429, "too_many_requests")
        assert int(refused.headers["Retry-After"]) >= 1
        assert changes(gateway, "since=now&wait=1", bearer(2))["items"] == []
    finally:
        for each in waiting:
            each.socket.close()
