"""Webhooks in the live system: every change reaches a receiver once, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from docsave_services.runtime.ports import free_ports
from tests.e2e.accounts import Account, new_account
from tests.support.notifier import Recorder
from tests.support.programs import ROOT, Program
from tests.support.receiver import Receiver, listening, status
from tests.support.system import System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

EXAMPLES = ROOT / "docs" / "examples"
ARRIVED_SECONDS = 60.0
Hook = dict[str, Any]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of its own: one that may deliver to this machine."""
    with running_system(tmp_path_factory.mktemp("webhooks"), DOCSAVE_WEBHOOK_ALLOW_PRIVATE="1") as started:
        yield started


@pytest.fixture
def ann(system: System) -> Account:
    return new_account(system.base_url, "ann")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def make(person: Account, url: str, **fields: Any) -> Hook:
    """A webhook, with its secret."""
    answer = person.session.post(f"{person.base_url}/webhooks", json={"url": url, **fields}, timeout=30)
    assert answer.status_code == 201, answer.text
    made: Hook = answer.json()
    assert answer.headers["Location"] == f"/webhooks/{made['id']}"
    return made


def look(person: Account, hook: Hook, more: str = "") -> Any:
    """``GET /webhooks/{id}`` and what is below it."""
    answer = person.session.get(f"{person.base_url}/webhooks/{hook['id']}{more}", timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


class Example:
    """A receiver of the documentation, started as its first lines say, in a directory of its own."""

    def __init__(self, command: list[str], directory: Path, saved: Callable[[Path], list[dict[str, Any]]]) -> None:
        self._command = command
        self._directory = directory
        self._saved = saved
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}/"
        self.program: Program | None = None

    def start(self, secret: str) -> None:
        """Start it, again on the same port and files."""
        shell = ["sh", "-c", 'cd "$0" && exec "$@"', str(self._directory), *self._command, str(self.port)]
        self.program = Program(shell, self._directory / "output.log", {"WEBHOOK_SECRET": secret})

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it."""
        if self.program is not None:
            self.program.stop(number)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has saved, in the order of saving."""
        return self._saved(self._directory)


def saved_by_python(directory: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(directory / "webhook_receiver.sqlite3", timeout=10)) as database:
        return [json.loads(event) for (event,) in database.execute("SELECT event FROM change ORDER BY rowid")]


def saved_by_node(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "webhook_receiver.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


@pytest.fixture(params=["python", "node"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Example]:
    if request.param == "python":
        made = Example([sys.executable, str(EXAMPLES / "webhook_receiver.py")], tmp_path, saved_by_python)
    else:
        node = shutil.which("node")
        assert node, "node is not installed"
        made = Example([node, str(EXAMPLES / "webhook_receiver.mjs")], tmp_path, saved_by_node)
    yield made
    made.stop()


def test_a_receiver_from_the_documentation_gets_every_change_once(
    system: System, ann: Account, example: Example
) -> None:
    """Although it is killed in the middle. In order, and nobody else's."""
    hook = make(ann, example.url)
    example.start(hook["secret"])
    other = new_account(system.base_url, "boris")
    with ThreadPoolExecutor(4) as crowd:
        working = [crowd.submit(ann.save, f"{n}.txt", b"%d" % n) for n in range(80)]
        wait_until(lambda: len(example.events) >= 5, ARRIVED_SECONDS)
        example.stop()
        other.save("not for her", b"x")
        example.start(hook["secret"])
        assert all(one.result() for one in working)
    wait_until(lambda: len(example.events) >= 80, ARRIVED_SECONDS)
    wait_until(lambda: look(ann, hook)["lag"] == 0, ARRIVED_SECONDS)
    assert sorted(event["name"] for event in example.events) == sorted(f"{n}.txt" for n in range(80))
    ids = [event["event_id"] for event in example.events]
    assert ids == sorted(set(ids))
    feed = ann.session.get(f"{ann.base_url}/changes", timeout=30).json()["items"]
    assert example.events == feed


def test_a_message_that_was_tampered_with_is_refused(ann: Account, example: Example) -> None:
    """Another secret, another body, or one that is too old: 400, and nothing is saved."""
    hook = make(ann, example.url, state="paused")
    example.start(hook["secret"])
    wait_until(lambda: requests.post(example.url, data=b"{}", timeout=5).status_code == 400)
    sent: list[tuple[dict[str, str], bytes]] = []
    with listening() as between:
        ann.session.patch(f"{ann.base_url}/webhooks/{hook['id']}", json={"url": between.url}, timeout=30)
        ann.session.post(f"{ann.base_url}/webhooks/{hook['id']}/test", timeout=30)
        wait_until(lambda: between.got)
        got = between.got[0]
        sent = [({k: v for k, v in got.headers.items() if k.startswith("webhook-")}, got.body)]
    (headers, body) = sent[0]
    for wrong_headers, wrong_body in (
        (headers, body + b" "),
        ({**headers, "webhook-id": "msg_other"}, body),
        ({**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301)}, body),
        ({**headers, "webhook-timestamp": "soon"}, body),
        ({**headers, "webhook-signature": "v1,AAAA v2,x"}, body),
        ({k: v for k, v in headers.items() if k != "webhook-signature"}, body),
    ):
        assert requests.post(example.url, data=wrong_body, headers=wrong_headers, timeout=5).status_code == 400
    for _ in range(2):
        assert requests.post(example.url, data=body, headers=headers, timeout=5).status_code == 204
    assert [event["type"] for event in example.events] == ["Webhook_test"]


def test_it_arrives_within_a_second(ann: Account, receiver: Receiver) -> None:
    """On an idle system, from the answer to the upload until the receiver has it."""
    make(ann, receiver.url)
    quickest = []
    for number in range(5):
        ann.save(f"{number}.txt", b"x")
        begun = time.monotonic()
        wait_until(lambda number=number: len(receiver.got) > number, ARRIVED_SECONDS, interval=0.005)
        quickest.append(time.monotonic() - begun)
    assert min(quickest) < 1


def test_some_of_it_again(ann: Account, receiver: Receiver) -> None:
    """A test message, one event, all after a cursor: what was asked for comes, events under the ids that they had."""

    def ask(what: str, **body: Any) -> dict[str, Any]:
        url = f"{ann.base_url}/webhooks/{hook['id']}/{what}"
        answer = ann.session.post(url, json=body or None, timeout=30)
        assert answer.status_code == 202, answer.text
        asked: dict[str, Any] = answer.json()
        return asked

    hook = make(ann, receiver.url)
    for name in ("a", "b", "c"):
        ann.save(name, b"x")
    wait_until(lambda: len(receiver.got) == 3, ARRIVED_SECONDS)
    a, b, c = receiver.got
    assert ask("redeliver", event_id=b.event["event_id"])["message_id"] == b.message
    wait_until(lambda: len(receiver.got) == 4, ARRIVED_SECONDS)
    ask("redeliver", since=a.event["cursor"])
    wait_until(lambda: len(receiver.got) == 6, ARRIVED_SECONDS)
    test = ask("test")
    wait_until(lambda: len(receiver.got) == 7, ARRIVED_SECONDS)
    assert [got.message for got in receiver.got] == [*(got.message for got in (a, b, c, b, b, c)), test["message_id"]]
    assert [got.body for got in receiver.got[3:6]] == [b.body, b.body, c.body]
    wait_until(lambda: look(ann, hook, "/deliveries")["items"][0]["state"] == "delivered", ARRIVED_SECONDS)
    sent = look(ann, hook, "/deliveries")["items"]
    assert [(each["kind"], each["tries"], each["code"]) for each in sent] == [
        ("test", 1, 200), ("redelivery", 1, 200), ("event", 2, 200), ("event", 2, 200), ("event", 1, 200),
    ]  # fmt: skip


def test_killed_between_sending_and_recording(system: System, ann: Account, receiver: Receiver) -> None:
    """``kill -9`` when the receiver has the change and the service has not heard so: it comes again, the same under the
    same id, and what follows after it."""

    def kill(sock: Any) -> None:
        system.kill("webhooks")
        with suppress(OSError):  # nobody is there to hear it
            status(200)(sock)

    receiver.answers = [kill]
    hook = make(ann, receiver.url)
    for name in ("a.txt", "b.txt"):
        ann.save(name, b"x")
    wait_until(lambda: look(ann, hook)["lag"] == 0, ARRIVED_SECONDS)
    assert [got.event["name"] for got in receiver.got] == ["a.txt", "a.txt", "b.txt"]
    first, again, following = receiver.got
    assert (again.message, again.body) == (first.message, first.body)
    assert following.message != first.message


def test_two_processes_share_and_take_over(system: System, ann: Account, receiver: Receiver, tmp_path: Path) -> None:
    """Never two deliveries to one endpoint at once, and when one process is killed the other goes on."""
    environment = {**system.shell_environment(), "DOCSAVE_WEBHOOK_ALLOW_PRIVATE": "1"}
    command = [sys.executable, "-m", "docsave_services.runtime.service", "webhooks"]
    second = Program(command, tmp_path / "second.log", environment)
    try:
        hook = make(ann, receiver.url)
        for number in range(10):
            ann.save(f"{number}.txt", b"x")
        system.kill("webhooks")
        for number in range(10, 20):
            ann.save(f"{number}.txt", b"x")
        wait_until(lambda: look(ann, hook)["lag"] == 0, ARRIVED_SECONDS)
    finally:
        second.stop()
    messages = list(dict.fromkeys(got.message for got in receiver.got))
    assert [m.rpartition("_")[2] for m in messages] == [str(e) for e in dict.fromkeys(receiver.events)]
    assert sorted({got.event["name"] for got in receiver.got}) == sorted(f"{n}.txt" for n in range(20))
    assert list(dict.fromkeys(receiver.events)) == sorted(set(receiver.events))
    assert receiver.most_at_once == 1


def test_a_broker_that_lost_its_disk_costs_no_delivery(system: System, ann: Account, receiver: Receiver) -> None:
    """Queues and messages are gone; the journal is not."""
    hook = make(ann, receiver.url)
    ann.save("before.txt", b"x")
    mnesia = system.data_dir / "broker" / "mnesia"
    stopped = system.hold_still("broker")
    mnesia.rename(mnesia.with_name("mnesia.wiped"))  # before it is killed: the next one starts at once
    os.kill(stopped, signal.SIGKILL)
    wait_until(lambda: _saved(ann, "after.txt"), 90, interval=0.5)
    wait_until(lambda: "after.txt" in [got.event["name"] for got in receiver.got], ARRIVED_SECONDS)
    wait_until(lambda: look(ann, hook)["lag"] == 0, ARRIVED_SECONDS)
    assert receiver.got[0].event["name"] == "before.txt"
    system.wait_ready()


def _saved(person: Account, name: str) -> bool:
    answer = person.session.post(
        f"{person.base_url}/files", params={"name": name}, data=b"x", headers={"Idempotency-Key": "again"}, timeout=30
    )
    return answer.status_code == 201


def test_the_owners_socket_hears_that_it_was_disabled(system: System, ann: Account, receiver: Receiver) -> None:
    """At once after 410, with the reason; the list and the trail say the same."""
    receiver.default = status(410)
    socket = Recorder(system.socket_url, ["websocket"])
    try:
        assert socket.call("User_connect", ann.token)["ok"]
        hook = make(ann, receiver.url)
        ann.save("a.txt", b"x")
        wait_until(lambda: [p for name, p in socket.heard if name == "Webhook_disabled"], ARRIVED_SECONDS)
        ((_, news),) = [each for each in socket.heard if each[0] == "Webhook_disabled"]
    finally:
        socket.close()
    assert (news["id"], news["user_id"], news["reason"]) == (hook["id"], ann.id, "gone")
    state = look(ann, hook)
    assert (state["state"], state["reason"], state["last_code"], state["lag"] >= 1) == ("disabled", "gone", 410, True)
    admin = Account(system.base_url, system.admin_login, system.admin_password)
    trail = admin.session.get(
        f"{ann.base_url}/audit", params={"user_id": ann.id, "action": "webhook_disabled"}, timeout=30
    )
    assert [entry["detail"]["webhook"] for entry in trail.json()["items"]] == [hook["id"]]
    assert "whsec_" not in json.dumps([state, trail.json()]) + system.output()


def test_the_api_of_webhooks(system: System, ann: Account) -> None:
    """Keys need the scope and see their own; others' are 404; wrong input is named; an administrator sees all."""
    url = f"{system.base_url}/webhooks"
    key = ann.session.post(
        f"{ann.base_url}/api-keys", json={"name": "CRM", "scopes": ["events:read"]}, timeout=30
    ).json()
    reads = ann.session.post(
        f"{ann.base_url}/api-keys", json={"name": "R", "scopes": ["files:read"]}, timeout=30
    ).json()

    def call(credential: str, method: str, path: str = "", **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {credential}"}
        return requests.request(method, url + path, headers=headers, timeout=30, **options)

    mine = make(ann, "https://crm.example/a", state="paused")
    by_key = call(key["key"], "POST", json={"url": "https://crm.example/b", "state": "paused"}).json()
    assert (by_key["key_id"], by_key["user_id"]) == (key["id"], ann.id)
    refused = call(reads["key"], "POST", json={"url": "https://crm.example/"})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert [h["id"] for h in call(key["key"], "GET").json()["items"]] == [by_key["id"]]
    assert [h["id"] for h in call(ann.token, "GET", "?limit=1").json()["items"]] == [mine["id"]]
    assert call(key["key"], "GET", f"/{mine['id']}").status_code == 404
    boris = new_account(system.base_url, "boris")
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/secret"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
    ):
        body = {"json": {"state": "paused"}} if method == "PATCH" else {}
        assert call(boris.token, method, f"/{mine['id']}{path}", **body).status_code == 404, (method, path)
    assert call(boris.token, "GET", "?user_id=all").json()["code"] == "forbidden"
    assert (
        call(boris.token, "POST", json={"url": "https://a.example/", "all_users": True}).json()["code"] == "forbidden"
    )
    for wrong in ({"url": "ftp://a.example/"}, {"url": "https://a.example/", "events": []}, {"secret": "mine"}, {}):
        answer = call(ann.token, "POST", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), answer.text
    assert call(ann.token, "PATCH", f"/{mine['id']}", json={}).status_code == 422
    assert call(ann.token, "POST", json={"url": "https://a.example/", "since": "0:1"}).status_code == 422
    both = {"event_id": 1, "since": mine["cursor"]}
    assert call(ann.token, "POST", f"/{mine['id']}/redeliver", json=both).status_code == 422
    assert call(ann.token, "POST", f"/{mine['id']}/redeliver", json={"event_id": 2**40}).status_code == 404
    admin = Account(system.base_url, system.admin_login, system.admin_password)
    everybodys = call(admin.token, "GET", "?user_id=all&limit=1000").json()["items"]
    assert {mine["id"], by_key["id"]} <= {hook["id"] for hook in everybodys}
    assert call(admin.token, "GET", f"/{mine['id']}").status_code == 200
    assert "secret" not in {field for hook in everybodys for field in hook}
    assert call(ann.token, "DELETE", f"/{mine['id']}").status_code == 204
    assert call(ann.token, "GET", f"/{mine['id']}").status_code == 404
