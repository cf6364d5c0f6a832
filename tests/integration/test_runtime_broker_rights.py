"""A service's account at the broker is good for what the service does, and for nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator

import amqp
import pytest

from docsave_services.runtime.broker_rights import CALLS, OPERATOR, definitions
from docsave_services.runtime.environment import ROOT
from docsave_services.runtime.programs import SERVICES
from tests.support.rabbitmq import Broker

pytestmark = pytest.mark.process

Channel = amqp.channel.Channel


@pytest.fixture(autouse=True)
def exchanges(broker: Broker) -> None:
    """Those that Nameko's services declare."""
    with _connection(broker, OPERATOR) as connection:
        channel = connection.channel()
        for name in ("nameko-rpc", *(f"{service}.events" for service in SERVICES)):
            channel.exchange_declare(name, "topic", durable=True, auto_delete=False)


@pytest.fixture
def channel(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Channel]:
    """A channel of the account that the test names."""
    with _connection(broker, request.param) as connection:
        yield connection.channel()


def _connection(broker: Broker, name: str) -> amqp.Connection:
    port, uri = broker.node.amqp_port, broker.node.amqp_uri_of(name)
    password = uri.partition("@")[0].rpartition(":")[2]
    connection = amqp.Connection(f"127.0.0.1:{port}", userid=name, password=password, confirm_publish=True)
    connection.connect()
    return connection


def _call(channel: Channel, method: str) -> None:
    channel.basic_publish_confirm(amqp.Message("{}"), "nameko-rpc", method)


def _queue(channel: Channel, name: str) -> str:
    channel.queue_declare(name, exclusive=True, auto_delete=True)
    return name


def test_every_service_has_an_account():
    """Who runs has rights, and nobody else."""
    assert set(CALLS) == set(SERVICES)


@pytest.mark.parametrize(
    ("channel", "method"),
    [
        ("gateway", "files.apply"),
        ("gateway", "users.log_in"),
        ("notifier", "files.changes"),
        ("notifier", "users.verify_key"),
        ("backup", "files.protected"),
        ("webhooks", "files.head"),
        ("users", "users.health"),
        ("files", str(uuid.uuid4())),
    ],
    indirect=["channel"],
)
def test_what_a_service_calls_it_may_call(channel, method):
    """The calls it makes, its own health, and answers."""
    _call(channel, method)


@pytest.mark.parametrize(
    ("channel", "method"),
    [
        ("notifier", "files.apply"),
        ("notifier", "users.update"),
        ("backup", "files.apply"),
        ("backup", "users.log_in"),
        ("webhooks", "files.apply"),
        ("files", "users.create"),
        ("users", "files.apply"),
    ],
    indirect=["channel"],
)
def test_what_it_does_not_call_it_may_not(channel, method):
    """A stolen account of one service is no way to the others."""
    with pytest.raises(amqp.AccessRefused):
        _call(channel, method)


@pytest.mark.parametrize("channel", ["notifier"], indirect=True)
def test_nobody_listens_to_calls_of_others(channel):
    """The calls to ``users`` carry passwords: no queue but its own gets them."""
    queue = _queue(channel, f"rpc.reply-notifier-{uuid.uuid4()}")
    channel.queue_bind(queue, "nameko-rpc", str(uuid.uuid4()))
    with pytest.raises(amqp.AccessRefused):
        channel.queue_bind(queue, "nameko-rpc", "users.*")


@pytest.mark.parametrize("channel", ["backup"], indirect=True)
def test_nobody_takes_what_waits_for_others(channel):
    """Neither a queue of another service nor one with a name of its own choice can be made or read."""
    with pytest.raises(amqp.AccessRefused):
        channel.queue_declare("rpc-users", durable=True)


@pytest.mark.parametrize("channel", ["backup", "notifier", "gateway"], indirect=True)
def test_events_come_from_their_own_service_alone(channel):
    """Who is not ``files`` cannot tell of a document that was never saved."""
    with pytest.raises(amqp.AccessRefused):
        channel.basic_publish_confirm(amqp.Message("{}"), "files.events", "File_create")


@pytest.mark.parametrize("channel", ["backup"], indirect=True)
def test_events_are_heard(channel):
    """A queue of its own may be bound to the events it listens to."""
    queue = _queue(channel, f"evt-files-File_create--backup.on_create-{uuid.uuid4()}")
    channel.queue_bind(queue, "files.events", "File_create")


def test_definitions_are_printed_for_containers(tmp_path):
    """From password files, on standard output, with no password in clear."""
    names = {OPERATOR: "amqp_password", **{name: f"amqp_password_{name}" for name in CALLS}}
    for name, file in names.items():
        (tmp_path / file).write_text(f"secret-of-{name}\n")
    command = [sys.executable, "-m", "docsave_services.runtime.broker_rights", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    printed = json.loads(done.stdout)
    assert [user["name"] for user in printed["users"]] == list(names)
    assert "secret-of" not in done.stdout
    assert printed["permissions"] == definitions(dict.fromkeys(names, "x"))["permissions"]
