"""The OpenAPI document is true: what it allows works, what it forbids is refused, what comes back is as it says.

Schemathesis makes requests from the document and sends them to a gateway with all services behind it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from docsave_services.runtime.ports import free_ports
from tests.integration.gateway_process import token
from tests.integration.served_gateway import ServedGateway, served_gateway
from tests.support.programs import ROOT
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

PROGRAM = str(Path(sys.executable).with_name("schemathesis"))
CONFIG = str(ROOT / "tests/schemathesis/schemathesis.toml")
SERVICES = (
    "backup.service:Backup",
    "docsave_services.webhooks.service:WebhooksService",
    "notifier_bridge.service:Notifier",
)


@pytest.fixture(scope="module")
def gateway(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    """A gateway with every service."""
    directory = tmp_path_factory.mktemp("gateway")
    [notifier_port] = free_ports(1)
    with served_gateway(broker.amqp_uri, directory, NOTIFIER_PORT=notifier_port) as gateway:
        services = [gateway.run(service) for service in SERVICES]
        try:
            wait_until(lambda: gateway.get("/health/ready").ok, 30)
            yield gateway
        finally:
            for service in services:
                service.stop()


def administrator(gateway: ServedGateway) -> int:
    """The id of one who has a password like anybody."""
    account = {"login": f"admin-{uuid.uuid4().hex[:8]}", "password": "correct horse 1"}
    made = gateway.request("POST", "/users", json=account).json()
    with gateway.rpc() as rpc:
        rpc.users.update(user_id=made["id"], role="admin")
    return int(made["id"])


def schemathesis(gateway: ServedGateway, directory: Path, *options: str) -> str:
    """Let it try every operation as an administrator; it must find nothing wrong. What it said."""
    caller = administrator(gateway)
    command = [PROGRAM, "--config-file", CONFIG, "run", f"{gateway.url}/openapi.json", "--checks", "all", "--no-color"]
    command += ["--header", f"Authorization: Bearer {token(caller, 'admin')}", *options]
    hooks = {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.schemathesis.hooks", "CALLER_ID": str(caller)}
    environment = {**os.environ, **hooks}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    operations = sum(len(item) for item in gateway.get("/openapi.json").json()["paths"].values())
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested, done.stdout[-3000:]
    assert int(tested[1]) == operations - 1, done.stdout[-3000:]  # all but the call by which it read the document
    return done.stdout


def test_the_document_is_true(gateway: ServedGateway, tmp_path: Path) -> None:
    """Examples, the boundaries of every schema, some random requests: no check fails.

    The same ones each time; `make soak-api` draws others, and sequences of them.
    """
    schemathesis(gateway, tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", "2", "--seed", "1")
