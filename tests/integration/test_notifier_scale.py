"""Many sockets, several bridges that die, a bus that loses, repeats and shuffles: everybody hears their own."""
# ruff: noqa: F401, F811 - fixtures shared with the neighbouring module

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import socketio

from tests.integration.test_notifier import accounts, bridge, journal
from tests.support.addresses import session_from
from tests.support.many_sockets import ManySockets
from tests.support.nginx import Nginx
from tests.support.notifier import Accounts, Bridge, Journal, NodeClient, RawWebSocket, Recorder, free_port, token
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

USERS, SOCKETS_EACH, EVENTS_EACH = 100, 10, 5
STRANGERS = 2000
STRANGER_BYTES = 120 * 1024
"""Memory of the bridge for one idle websocket, generously."""


class Follower:
    """A client that connects again with its cursor whenever it lost its connection; keeps the ids it heard."""

    def __init__(self, url: Callable[[], str], secret: str, since: str, transports: list[str]) -> None:
        self.ids: list[int] = []
        self.connections = 0
        self._url, self._token, self._since, self._transports = url, secret, since, transports
        self._client: Any = None
        self.reconnect()

    def reconnect(self) -> None:
        """Begin a connection where the last one ended."""
        wait_until(self._try, 30)

    def _try(self) -> bool:
        client = socketio.Client(reconnection=False)
        client.on("*", lambda name, event: self._hear(client, event))
        self._client = client
        try:
            auth = {"token": self._token, "since": self._since}
            client.connect(self._url(), transports=self._transports, auth=auth, wait_timeout=10)
        except socketio.exceptions.ConnectionError:
            return False
        self.connections += 1
        return True

    def _hear(self, client: Any, event: dict[str, Any]) -> None:
        if client is self._client:
            self.ids.append(event["event_id"])
            self._since = event["cursor"]

    def cut(self) -> None:
        """Lose the connection without a word, as a network does."""
        lost, self._client = self._client, None
        if self._transports == ["websocket"]:
            lost.eio.ws.sock.shutdown(socket.SHUT_RDWR)
        else:
            lost.disconnect()  # between two polls there is no connection to cut

    @property
    def lost(self) -> bool:
        """Whether the server has gone."""
        return self._client is None or not self._client.connected

    def close(self) -> None:
        """Leave."""
        if self._client is not None:
            self._client.disconnect()


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids="+".join)
def test_rapid_changes_with_the_connection_cut_in_the_middle(journal, bridge, transports):
    """300 changes; after 60, 120, 180 and 240 of them the connection is cut. Each is heard once, in order."""
    follower = Follower(lambda: bridge.url, token(1), journal.head, transports)
    wanted = []
    for number in range(1, 301):
        wanted.append(journal.add(1)["event_id"])
        if number % 60 == 0 and number < 300:
            follower.cut()
            follower.reconnect()
    wait_until(lambda: len(follower.ids) >= len(wanted), 30)
    follower.close()
    assert follower.ids == wanted
    assert follower.connections == 5


@pytest.mark.parametrize("package", ["socket.io-client", "socket.io-client-v3"])
@pytest.mark.parametrize("transports", ["websocket", "polling"])
def test_javascript_clients_go_on_from_their_cursor(journal, bridge, package, transports):
    """Killed in the middle of 300 changes, a page that comes back with its cursor hears the rest, and only that."""
    first = NodeClient(package, bridge.url, transports, {"token": token(1), "since": journal.head})
    first.said("connect")
    wanted = [journal.add(1)["event_id"] for _ in range(150)]
    wait_until(lambda: len(first.events) >= 20, 20)
    first.close()
    heard = [event for _, event in first.events]
    wanted += [journal.add(1)["event_id"] for _ in range(150)]
    second = NodeClient(package, bridge.url, transports, {"token": token(1), "since": heard[-1]["cursor"]})
    try:
        wait_until(lambda: len(heard) + len(second.events) >= len(wanted), 30)
        assert [event["event_id"] for event in heard + [event for _, event in second.events]] == wanted
    finally:
        second.close()


def test_a_bus_that_loses_repeats_and_shuffles(journal, bridge):
    """Of 600 messages a third is lost, some come twice, all in any order; each change is heard once, in order."""
    listener = Recorder(bridge.url, ["websocket"])
    assert listener.call("User_connect", token(1))["ok"]
    rng = random.Random(5)
    for _ in range(30):
        events = [journal.add(1, told=False) for _ in range(20)]
        told = [event for event in events if rng.random() > 0.33] + rng.sample(journal.events, 5)
        rng.shuffle(told)
        for event in told:
            journal.tell(event)
    wanted = [event["event_id"] for event in journal.events[-600:]]
    wait_until(lambda: len(listener.heard) >= len(wanted), 30)
    assert listener.ids == wanted
    listener.close()


def test_a_thousand_sockets_hear_exactly_their_own(journal, bridge):
    """1,000 sockets of 100 users; 500 changes. Each socket hears its user's five, in order, and nothing else."""
    tokens = [token(1 + number % USERS) for number in range(USERS * SOCKETS_EACH)]
    sockets = ManySockets(bridge.port, tokens)
    try:
        sockets.wait_identified(120)
        events = [journal.add(1 + number % USERS) for number in range(USERS * EVENTS_EACH)]
        wait_until(lambda: sum(map(len, sockets.heard)) >= len(tokens) * EVENTS_EACH, 120)
        for number, heard in enumerate(sockets.heard):
            assert heard == [event for event in events if event["user_id"] == 1 + number % USERS]
        assert sockets.closed == 0
    finally:
        sockets.close()


def test_thousands_of_silent_sockets_are_closed_and_take_little(journal, bridge):
    """2,000 strangers who say nothing: as many as one address may have get in, and are closed within the time to
    identify. Memory stays flat, and who is known hears as before."""
    listener = Recorder(bridge.url, ["websocket"])
    assert listener.call("User_connect", token(1))["ok"]
    before = bridge.memory_bytes()
    strangers, refused = [], 0
    for _ in range(STRANGERS):
        try:
            strangers.append(RawWebSocket(bridge.port))
        except AssertionError:
            refused += 1
    assert refused > 0
    assert bridge.memory_bytes() - before < len(strangers) * STRANGER_BYTES
    event = journal.add(1)
    wait_until(lambda: event["event_id"] in listener.ids, 5)
    opened = time.monotonic()
    for stranger in strangers:
        stranger.read_until_closed()
    assert time.monotonic() - opened < 12
    assert not listener.closed
    listener.close()


def _connections(port: int) -> int:
    """Established connections to that port of this machine."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(f":{port:04X}") and state == "01" for _, local, _, state, *_ in rows)


@pytest.fixture
def two_bridges(broker: Broker, journal: Journal, accounts: Accounts, tmp_path: Path) -> Iterator[list[Bridge]]:
    """Two bridges that share one port, as two processes of one machine do."""
    port = free_port()
    bridges = [Bridge(broker.amqp_uri, tmp_path / str(number), port) for number in range(2)]
    try:
        for each in bridges:
            each.wait_following()
        yield bridges
    finally:
        for each in bridges:
            each.program.stop()


def test_a_rolling_restart_loses_nothing(broker, journal, two_bridges, tmp_path):
    """One bridge after the other is killed outright and started again, while changes go on; clients that come back
    with their cursor hear each change once."""
    followers = [Follower(lambda: two_bridges[0].url, token(1), journal.head, ["websocket"]) for _ in range(12)]
    wanted = []

    def change(count: int) -> None:
        wanted.extend(journal.add(1)["event_id"] for _ in range(count))

    for number, killed in enumerate(list(two_bridges)):
        change(20)
        killed.program.stop(signal.SIGKILL)
        change(20)
        wait_until(lambda: any(follower.lost for follower in followers), 10)
        for follower in followers:
            if follower.lost:
                follower.reconnect()
        two_bridges[number] = Bridge(broker.amqp_uri, tmp_path / f"again{number}", killed.port)
        two_bridges[number].wait_following()
    change(20)
    for follower in followers:
        if follower.lost:
            follower.reconnect()
    wait_until(lambda: all(len(follower.ids) >= len(wanted) for follower in followers), 30)
    for follower in followers:
        follower.close()
    assert [follower.ids for follower in followers] == [wanted] * len(followers)
    assert sum(follower.connections for follower in followers) > len(followers)


def test_two_bridges_behind_nginx_with_polling_clients(broker, journal, accounts, tmp_path):
    """nginx sends an address always to the same bridge, so that polling works; both bridges have some, and each
    client hears each change once."""
    bridges = [
        Bridge(broker.amqp_uri, tmp_path / str(number), DOCSAVE_TRUSTED_PROXIES="127.0.0.1") for number in (0, 1)
    ]
    edge = None
    clients = []
    try:
        for each in bridges:
            each.wait_following()
        edge = Nginx(tmp_path, notifiers=[each.port for each in bridges])
        for number in range(12):
            client = socketio.Client(reconnection=False, http_session=session_from(f"127.0.0.{10 + number}"))
            heard: list[int] = []
            client.on("*", lambda name, event, heard=heard: heard.append(event["event_id"]))
            client.connect(edge.socket_url, transports=["polling"], auth={"token": token(1)}, wait_timeout=10)
            clients.append((client, heard))
        wanted = [journal.add(1)["event_id"] for _ in range(50)]
        wait_until(lambda: all(len(heard) >= 50 for _, heard in clients), 30)
        assert [heard for _, heard in clients] == [wanted] * len(clients)
        wait_until(lambda: all(_connections(each.port) for each in bridges), 10)
    finally:
        for client, _ in clients:
            client.disconnect()
        if edge is not None:
            edge.stop()
        for each in bridges:
            each.program.stop()
