"""The containers' nginx in front of the whole system, with two gateways and two notifiers behind it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import requests

from docsave_services.runtime.ports import free_ports
from docsave_services.runtime.programs import service_command
from tests.e2e.accounts import Account, new_account
from tests.support.addresses import session_from
from tests.support.nginx import Nginx
from tests.support.notifier import Recorder
from tests.support.programs import Program
from tests.support.system import System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

LARGE = os.urandom(1 << 20) * 48


@dataclass
class Edge:
    """One system, its second gateway and second notifier, and the nginx that all clients talk to."""

    system: System
    nginx: Nginx
    second: dict[str, Program]
    ann: Account


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    directory = tmp_path_factory.mktemp("edge")
    second: dict[str, Program] = {}
    nginx = None
    with running_system(directory, DOCSAVE_TRUSTED_PROXIES="127.0.0.1") as system:
        try:
            port, notifier_port = free_ports(2)
            ports = {"DOCSAVE_PORT": str(port), "DOCSAVE_NOTIFIER_PORT": str(notifier_port)}
            environment = {**system.env, **system.shell_environment(), **ports}
            for name in ("gateway", "notifier"):
                second[name] = Program(service_command(name), directory / f"second-{name}.log", environment)
            (directory / "nginx").mkdir()
            nginx = Nginx(
                directory / "nginx",
                [_port(system.base_url), port],
                [_port(system.socket_url), notifier_port],
                # The time-outs alone are shortened: half a minute of silence is long in a test.
                replace={
                    "client_header_timeout 30s": "client_header_timeout 1s",
                    "client_body_timeout 60s": "client_body_timeout 1s",
                },
            )
            for each in (port, notifier_port):
                wait_until(lambda each=each: _listens(each), 60)
            yield Edge(system, nginx, second, new_account(nginx.url, "ann"))
        finally:
            for program in (nginx, *second.values()):
                if program is not None:
                    program.stop()


def _port(url: str) -> int:
    return urlsplit(url).port or 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _staged(system: System) -> int:
    """The bytes of unfinished bodies in the blob store."""
    total = 0
    for path in (system.data_dir / "blobs" / "staging").rglob("*"):
        if path.is_file():
            total += path.stat().st_size
    return total


def _begin_upload(edge: Edge, name: str, length: int) -> socket.socket:
    """A connection that announced a raw body of ``length`` bytes and has sent none of it."""
    client = socket.create_connection(("127.0.0.1", _port(edge.nginx.url)), timeout=20)
    head = (
        f"POST /files?name={name} HTTP/1.1\r\nHost: docsave\r\nAuthorization: Bearer {edge.ann.token}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    )
    client.sendall(head.encode())
    return client


def test_a_large_file_goes_through_and_comes_back(edge):
    """48 MiB up and down through nginx are the same bytes."""
    saved = edge.ann.save("large.bin", LARGE)
    assert edge.ann.download(saved["id"]).content == LARGE


def test_a_body_reaches_the_gateway_while_it_is_still_being_sent(edge):
    """nginx keeps no body back: half of it is in the blob store's staging before the rest is sent."""
    before = _staged(edge.system)
    half = len(LARGE) // 2
    with _begin_upload(edge, "half.bin", len(LARGE)) as client:
        client.sendall(LARGE[:half])
        wait_until(lambda: _staged(edge.system) - before > half * 3 // 4, 10)
        client.sendall(LARGE[half:])
        assert b" 201 " in client.recv(4096).split(b"\r\n", 1)[0]


def test_slow_clients_are_cut_and_leave_nothing(edge):
    """Who stops in the middle of the head or of the body loses the connection; no file and no staged byte stays."""
    before = _staged(edge.system)
    with socket.create_connection(("127.0.0.1", _port(edge.nginx.url)), timeout=20) as client:
        client.sendall(b"GET /files HTTP/1.1\r\nHost: doc")
        assert client.recv(4096) == b""
    with _begin_upload(edge, "slow.bin", 1000) as client:
        client.sendall(b"x" * 500)
        assert b" 201 " not in client.recv(4096)
    wait_until(lambda: _staged(edge.system) <= before, 20)
    assert edge.ann.documents(q="slow") == []


def test_the_gateway_learns_the_clients_address_and_believes_no_other(edge):
    """A session is noted with the address that nginx saw, not with the one that the client claims."""
    client = session_from("127.0.0.77")
    client.headers["X-Forwarded-For"] = "203.0.113.9"
    account = {"login": "far-away", "password": "pass phrase 77"}
    assert client.post(f"{edge.nginx.url}/users", json=account, timeout=20).status_code == 201
    token = client.post(f"{edge.nginx.url}/login", json=account, timeout=20).json()["access_token"]
    answer = client.get(f"{edge.nginx.url}/sessions", headers={"Authorization": f"Bearer {token}"}, timeout=20)
    assert [session["address"] for session in answer.json()["items"]] == ["127.0.0.77"]


def test_sockets_reach_a_notifier_on_either_port(edge):
    """The API's own origin and the port beside it both lead to Socket.IO, and a change arrives on each."""
    urls = (edge.nginx.url, edge.nginx.socket_url)
    recorders = [Recorder(url, ["polling", "websocket"], {"token": edge.ann.token}) for url in urls]
    try:
        saved = edge.ann.save("heard.txt", b"x")
        heard = [("Notify_File_create", saved["id"])] * 2
        wait_until(lambda: [_first_heard(recorder) for recorder in recorders] == heard, 20)
    finally:
        for recorder in recorders:
            recorder.close()


def _first_heard(recorder: Recorder) -> tuple[str, int] | None:
    return next(((name, payload["id"]) for name, payload in recorder.heard), None)


def test_one_gateway_can_die_while_the_other_serves(edge):
    """After kill -9 of one gateway at most one request in flight to it fails; the others go on at once."""
    edge.second["gateway"].stop(signal.SIGKILL)
    url, headers = f"{edge.nginx.url}/files", {"Authorization": f"Bearer {edge.ann.token}"}
    statuses = [requests.get(url, headers=headers, timeout=20).status_code for _ in range(30)]
    assert statuses.count(200) >= 29
    assert set(statuses) <= {200, 502}
