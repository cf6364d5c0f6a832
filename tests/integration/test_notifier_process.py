"""The bridge's life as a process: starting without its partners, stopping with open clients."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.notifier import Bridge, Journal, NodeClient, RawWebSocket, Recorder, token
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process


def test_bridge_answers_while_files_is_away(broker, tmp_path):
    """It starts without the files service, says ``unavailable``, works when files comes, and survives its absence."""
    source = Journal(broker.amqp_uri)
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


def test_stop_with_open_clients_is_quick_and_clean(broker, tmp_path):
    """SIGTERM with open, polling and stalled clients ends within 4 s with status 0, and the clients notice."""
    source = Journal(broker.amqp_uri)
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
        if node is not None:
            node.close()
