"""The bridge's life as a process: starting without its partners, stopping with open clients."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.notifier import Accounts, Bridge, Journal, NodeClient, RawWebSocket, Recorder, token
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process


def test_bridge_answers_while_files_is_away(broker, tmp_path):
    """It starts without the files service, says ``unavailable``, works when files comes, and survives its absence."""
    source, accounts = Journal(broker.amqp_uri), Accounts(broker.amqp_uri)
    accounts.start()
    process = Bridge(broker.amqp_uri, tmp_path)
    try:
        process.wait_ready()
        client = Recorder(process.url, ["websocket"])
        assert client.call("User_connect", token(1))["code"] == "unavailable"
        assert client.call("User_connect", "nonsense")["code"] == "unauthenticated"
        source.start()
        client = Recorder(process.url, ["websocket"])
        wait_until(lambda: client.call("User_connect", token(1))["ok"], 8)
        source.stop()
        event = source.add(1, told=False)
        source.start()
        wait_until(lambda: client.heard, 20)
        assert client.heard == [("Notify_File_create", event)]
    finally:
        process.program.stop()
        source.stop()
        accounts.stop()


def test_stop_with_open_clients_is_quick_and_clean(broker, tmp_path):
    """SIGTERM with open, polling and stalled clients ends within 4 s with status 0, and the clients notice."""
    source, accounts = Journal(broker.amqp_uri), Accounts(broker.amqp_uri)
    accounts.start()
    source.start()
    process = Bridge(broker.amqp_uri, tmp_path)
    node = None
    try:
        process.wait_ready()
        clients = [Recorder(process.url, [transport]) for transport in ("websocket", "polling")]
        node = NodeClient("socket.io-client", process.url, "websocket")
        node.said("connect")
        silent = RawWebSocket(process.port)
        wait_until(lambda: clients[0].call("User_connect", token(1))["ok"], 20)
        started = time.monotonic()
        process.program.send(signal.SIGTERM)
        assert process.program.wait(4) == 0
        assert time.monotonic() - started < 4
        wait_until(lambda: all(client.closed for client in clients), 3)
        assert node.said("disconnect", 3)["disconnect"] == "transport close"
        silent.read_until_closed()
        assert "Traceback" not in process.output()
    finally:
        process.program.stop()
        source.stop()
        accounts.stop()
        if node is not None:
            node.close()


def test_nobody_is_let_in_before_it_is_known_who_was_revoked(broker, tmp_path):
    """A bridge that starts while ``users`` is away says ``unavailable``, and works when it comes."""
    source, accounts = Journal(broker.amqp_uri), Accounts(broker.amqp_uri)
    accounts.revoke("session", "5" * 32, told=False)
    source.start()
    process = Bridge(broker.amqp_uri, tmp_path)
    try:
        process.wait_ready()
        assert _answer(process, token(1))["code"] == "unavailable"
        accounts.start()
        wait_until(lambda: _answer(process, token(1))["ok"], 10)
        assert _answer(process, token(1, session_id="5" * 32))["code"] == "unauthenticated"
    finally:
        process.program.stop()
        source.stop()
        accounts.stop()


def _answer(process: Bridge, credential: str) -> dict:
    client = Recorder(process.url, ["websocket"])
    try:
        return client.call("User_connect", credential)
    finally:
        client.close()
