"""The gateway's process: an orderly end, a broker that goes away and comes back."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import eventlet
import pytest
import requests

from tests.integration.gateway_process import (
    Desk,
    GatewayProcess,
    bearer,
    head_of,
    problem_of,
    read_to_end,
    stand_ins,
    stop_all,
)
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture
def desk(broker: Broker) -> Iterator[Desk]:
    desk = Desk()
    services = stand_ins(broker.amqp_uri, desk)
    yield desk
    stop_all(services)


@pytest.fixture
def gateway(broker: Broker, tmp_path: Path, desk: Desk) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(broker.amqp_uri, tmp_path, BODY_TIMEOUT_SECONDS=30)
    yield gateway
    gateway.stop()


def upload_head(length: int) -> bytes:
    auth = bearer()["Authorization"].encode()
    return b"POST /files?name=a HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n" % (auth, length)


def test_a_request_in_progress_finishes_after_sigterm(gateway: GatewayProcess) -> None:
    """SIGTERM refuses new connections, closes idle ones, and lets an upload in progress end with 201."""
    idle = gateway.connect()
    with gateway.connect() as sock:
        sock.sendall(upload_head(3 * MIB) + b"a" * 2 * MIB)
        wait_until(gateway.staged)
        gateway.program.send(signal.SIGTERM)
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionError):
            gateway.connect().sendall(b"x")
        sock.sendall(b"a" * MIB)
        answer = read_to_end(sock)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"Connection: close" in answer
    assert gateway.program.wait(4) == 0
    assert gateway.staged() == []


def test_long_transfers_are_cut(gateway: GatewayProcess, desk: Desk) -> None:
    """What does not finish within the grace time is cut: nothing of it is kept, and the process ends."""
    row = desk.add(b"z" * 60 * MIB, gateway.blob_dir)
    with gateway.connect() as up, gateway.connect() as down:
        up.sendall(upload_head(3 * MIB) + b"a" * 2 * MIB)
        auth = bearer()["Authorization"].encode()
        down.sendall(b"GET /files/%d/content HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n" % (row["id"], auth))
        head_of(down)
        wait_until(gateway.staged)
        started = time.monotonic()
        gateway.program.send(signal.SIGTERM)
        assert gateway.program.wait(8) == 0
        # Nameko's consumer needs two more seconds to leave the broker.
        assert 2 < time.monotonic() - started < 7
    assert gateway.staged() == []
    assert desk.batches == []


def test_requests_under_way_at_sigterm_are_answered(gateway: GatewayProcess, desk: Desk) -> None:
    """A change whose RPC is under way is answered, not cut."""
    gate = eventlet.event.Event()
    desk.before_apply = gate.wait
    request = eventlet.spawn(requests.post, f"{gateway.url}/files?name=a", data=b"x", headers=bearer(), timeout=20)
    wait_until(lambda: desk.batches)
    gateway.program.send(signal.SIGTERM)
    eventlet.spawn_after(0.5, gate.send)
    assert request.wait().status_code == 201
    assert gateway.program.wait(4) == 0


def test_a_broker_that_goes_away(gateway: GatewayProcess, broker: Broker, desk: Desk) -> None:
    """Without its broker the gateway answers 503 in time and shows why; when it is back all works by itself."""
    row = desk.add(b"hello", gateway.blob_dir)
    path = f"/files/{row['id']}/content"
    wait_until(lambda: gateway.get(path, headers=bearer()).content == b"hello", 30)  # a busy machine is slow to begin
    broker.kill()
    try:
        answer = gateway.get(path, headers=bearer())
        assert answer.json()["code"] in ("unavailable", "rpc_timeout")
        problem_of(answer, 503, answer.json()["code"])
        assert answer.elapsed.total_seconds() < 7
        ready = gateway.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["broker"]["status"] == "failed"
        assert ready.elapsed.total_seconds() < 3
        assert gateway.get("/health/live").ok
    finally:
        broker.restart()
    wait_until(lambda: gateway.get(path, headers=bearer()).content == b"hello", 30)
