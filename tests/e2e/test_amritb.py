"""What the Amritb web client (a page of another origin, socket.io-client 3.1) does with the live system."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.accounts import Account, new_account
from tests.support.system import System
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

ORIGIN = "https://amritb.github.io"
SECONDS = 20.0


class Amritb:
    """The client in a process; ``emit`` is its button."""

    def __init__(self, url: str) -> None:
        command = ["node", str(Path(__file__).with_name("amritb.js")), url]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self.lines: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(json.loads(line))

    def said(self, key: str) -> list[Any]:
        """Everything it has said under that key so far."""
        return [line[key] for line in list(self.lines) if key in line]

    def emit(self, event: str, typed: str, as_json: bool) -> Any:
        """Emit what was typed, and the acknowledgement."""
        before = len(self.said("ack"))
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"event": event, "typed": typed, "json": as_json}) + "\n")
        self._process.stdin.flush()
        return wait_until(lambda: self.said("ack")[before:], SECONDS)[0]

    def close(self) -> None:
        """Close the page."""
        self._process.kill()
        self._process.wait(SECONDS)


@pytest.fixture
def page(system: System) -> Iterator[Amritb]:
    """The page, connected."""
    opened = Amritb(system.socket_url)
    try:
        wait_until(lambda: opened.said("connect"), SECONDS)
        yield opened
    finally:
        opened.close()


@pytest.fixture
def ann(system: System) -> Account:
    """A person with an account."""
    return new_account(system.base_url, "ann")


def test_it_begins_with_polling_and_goes_on_with_a_websocket(page: Amritb) -> None:
    """The page connects by polling and then upgrades, without a break."""
    wait_until(lambda: len(page.said("transport")) == 2, SECONDS)
    assert page.said("transport") == ["polling", "websocket"]
    assert page.said("connect_error") + page.said("disconnect") == []


@pytest.mark.parametrize("typed", ["token", "text", "object"])
def test_whatever_it_emits_identifies_the_user(page: Amritb, ann: Account, typed: str) -> None:
    """The bare token, a JSON text and a JSON object are all acknowledged, and events follow after the upgrade."""
    wait_until(lambda: "websocket" in page.said("transport"), SECONDS)
    payload = ann.token if typed == "token" else json.dumps({"token": ann.token})
    ack = page.emit("User_connect", payload, as_json=typed == "object")
    assert (ack["ok"], ack["user_id"]) == (True, ann.id)
    file = ann.save("note.txt", b"note")
    ann.rename(file["id"], "renamed 🎉.txt")
    ann.delete({**file, "version": 2})
    wait_until(lambda: len(page.said("heard")) == 3, SECONDS)
    assert page.said("heard") == ["Notify_File_create", "Notify_File_update", "Notify_File_delete"]
    assert [(event["id"], event["version"]) for event in page.said("payload")] == [(file["id"], n) for n in (1, 2, 3)]


def test_an_event_emitted_during_the_upgrade_is_not_lost(page: Amritb, ann: Account) -> None:
    """A user who is identified at once, while the transport changes, hears of what happens from then on."""
    assert page.emit("User_connect", ann.token, as_json=False)["ok"] is True
    for number in range(5):
        ann.save(f"{number}.txt", b"content")
    wait_until(lambda: len(page.said("heard")) == 5, SECONDS)
    assert [event["name"] for event in page.said("payload")] == [f"{number}.txt" for number in range(5)]


def test_the_administrator_emits_an_event_and_the_owner_hears_it(page: Amritb, system: System, ann: Account) -> None:
    """After Admin_connect a typed File_update is acknowledged and relayed, to this page too."""
    admin = Account(system.base_url, system.admin_login, system.admin_password)
    assert page.emit("Admin_connect", admin.token, as_json=False)["ok"] is True
    event = {"id": 7, "user_id": ann.id, "name": "from the page.txt"}
    assert page.emit("File_update", json.dumps(event), as_json=False) == {"ok": True}
    wait_until(lambda: page.said("heard"), SECONDS)
    assert page.said("heard") == ["Notify_File_update"]
    (heard,) = page.said("payload")
    assert {name: heard[name] for name in event} == event


@pytest.mark.parametrize("typed", ["", "nonsense", "{", "42", "[]", '{"token": 7}'])
def test_what_is_no_token_is_answered_with_an_error(page: Amritb, typed: str) -> None:
    """The page always gets its acknowledgement, with a code, and no event."""
    ack = page.emit("User_connect", typed, as_json=False)
    assert ack["ok"] is False
    assert ack["code"] in ("unauthenticated", "invalid_input")
    assert ack["message"]


def test_a_page_of_another_origin_may_read_the_answers(system: System) -> None:
    """The polling answers carry the origin's permission, as a browser demands, for reading and for sending."""
    address = f"{system.socket_url}/socket.io/"
    query, headers = {"EIO": "4", "transport": "polling"}, {"Origin": ORIGIN}
    opened = requests.get(address, params=query, headers=headers, timeout=SECONDS)
    assert opened.headers["Access-Control-Allow-Origin"] in (ORIGIN, "*")
    session = json.loads(opened.text[1:])["sid"]
    sent = requests.post(address, params={**query, "sid": session}, headers=headers, data="40", timeout=SECONDS)
    assert sent.status_code == 200
    assert sent.headers["Access-Control-Allow-Origin"] in (ORIGIN, "*")


def test_a_page_of_another_origin_may_use_the_api(system: System, ann: Account) -> None:
    """A browser's question before the request is answered with what it needs, and so is the request."""
    asked = requests.options(
        f"{system.base_url}/files",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
        timeout=SECONDS,
    )
    assert asked.status_code == 204
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    assert {"authorization", "content-type"} <= set(
        asked.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
    )
    listed = ann.session.get(f"{system.base_url}/files", headers={"Origin": ORIGIN}, timeout=SECONDS)
    assert listed.headers["Access-Control-Allow-Origin"] in (ORIGIN, "*")
