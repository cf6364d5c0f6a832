"""What the running system really sends is what the AsyncAPI document says, on the bus and over Socket.IO."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import kombu
import pytest

from docsave_services.contracts import FILE_EVENT_TYPES, FILE_PROTECTED
from notifier_bridge import asyncapi
from tests.e2e.accounts import Account, new_account
from tests.support.notifier import Recorder
from tests.support.system import System
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

HEARD_SECONDS = 30.0


STRICT = {name: {**schema, "additionalProperties": False} for name, schema in asyncapi.schemas().items()}
"""The schemas, but a field that they do not tell of is wrong."""


def check(payload: Any, kinds: tuple[str, ...]) -> None:
    """``payload`` fits one of the schemas and has no field beside."""
    references = [{"$ref": f"#/components/schemas/{kind}"} for kind in kinds]
    whole = {"anyOf": references, "components": {"schemas": STRICT}}
    jsonschema.Draft202012Validator(whole).validate(payload)


@pytest.fixture
def bus(system: System) -> Iterator[Callable[[], list[tuple[str, Any]]]]:
    """What the exchange of events brings, as (routing key, payload)."""
    heard: list[tuple[str, Any]] = []
    with kombu.Connection(system.amqp_uri) as connection:
        exchange = kombu.Exchange(asyncapi.EVENTS_EXCHANGE, "topic", passive=True)
        queue = kombu.Queue("", exchange, routing_key="#", exclusive=True, auto_delete=True)

        def keep(body: Any, message: kombu.Message) -> None:
            heard.append((message.delivery_info["routing_key"], body))
            message.ack()

        def received() -> list[tuple[str, Any]]:
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=0.1)
            return heard

        with connection.Consumer(queue, callbacks=[keep], accept=["json"]):
            yield received


def test_events_and_acks_are_as_documented(system: System, bus: Callable[[], list[tuple[str, Any]]]) -> None:
    """Each kind of event and ack is sent once at least, and each fits its schema."""
    ann = new_account(system.base_url, "ann")
    admin = Account(system.base_url, system.admin_login, system.admin_password)
    owner, all_seeing = Recorder(system.socket_url, ["websocket"]), Recorder(system.socket_url, ["polling"])
    try:
        acks = [
            ("User_connect", owner.call("User_connect", ann.token)),
            ("User_connect", owner.call("User_connect", {"token": 7})),
            ("Admin_connect", all_seeing.call("Admin_connect", {"token": admin.token})),
            ("File_create", all_seeing.call("File_create", {"id": 7, "user_id": ann.id, "labels": {"crm.deal": "1"}})),
            ("File_update", owner.call("File_update", {"id": 7, "user_id": ann.id})),
        ]
        file = ann.save("note.txt", b"note")
        file = ann.rename(file["id"], "renamed.txt") or file
        ann.delete(file)
        wanted = {*(f"Notify_{name}" for name in FILE_EVENT_TYPES), f"Notify_{FILE_PROTECTED}"}
        wait_until(lambda: {name for name, _ in owner.heard} >= wanted, HEARD_SECONDS)
        wait_until(lambda: {name for name, _ in bus()} >= {*FILE_EVENT_TYPES, FILE_PROTECTED}, HEARD_SECONDS)
    finally:
        owner.close()
        all_seeing.close()
    for name, ack in acks:
        check(ack, asyncapi.ACKS[name])
    assert [ack["ok"] for _, ack in acks] == [True, False, True, True, False]
    for name, payload in owner.heard + all_seeing.heard:
        check(payload, asyncapi.RECEIVED[name])
    for name, payload in bus():
        check(payload, asyncapi.ON_THE_BUS[name])


def test_the_notifier_serves_it(system: System) -> None:
    """``GET /asyncapi.json`` on the port of the events."""
    with urllib.request.urlopen(f"{system.socket_url}/asyncapi.json", timeout=10) as answer:  # noqa: S310
        assert answer.headers["Content-Type"] == "application/json"
        assert json.load(answer) == asyncapi.document()
