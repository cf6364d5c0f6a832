"""``/health/ready`` answers within a second while a part is there and says nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docsave_services.db.engine import make_engine
from docsave_services.db.provider import check_database
from docsave_services.db.transactions import Transactions
from docsave_services.errors import DatabaseUnavailable
from tests.integration.gateway_process import Desk, GatewayProcess, stand_ins, stop_all
from tests.support.mariadb import MariaDb
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until


@pytest.fixture
def gateway(broker: Broker, tmp_path: Path) -> Iterator[GatewayProcess]:
    services = stand_ins(broker.amqp_uri, Desk())
    gateway = GatewayProcess(broker.amqp_uri, tmp_path)
    yield gateway
    gateway.stop()
    stop_all(services)


def test_a_broker_that_says_nothing(gateway: GatewayProcess, broker: Broker) -> None:
    """Its process is stopped: connections are accepted and nothing comes. Afterwards all is as before."""
    wait_until(lambda: gateway.get("/health/ready").json()["checks"]["files"]["status"] == "ok", 30)
    with broker.frozen():
        for _ in range(3):
            answer = gateway.get("/health/ready")
            assert answer.status_code == 503
            assert answer.elapsed.total_seconds() < 2, "a second, and another for a busy machine"
            failed = {name for name, check in answer.json()["checks"].items() if check["status"] == "failed"}
            assert {"broker", "users", "files", "database"} <= failed
            assert answer.json()["checks"]["blobs"]["status"] == "ok"
    wait_until(lambda: gateway.get("/health/ready").json()["checks"]["files"]["status"] == "ok", 30)


def test_a_database_that_says_nothing(mariadb: MariaDb) -> None:
    """A service tells so while its caller still listens, again and again, and works when the server goes on."""
    transactions = Transactions(make_engine(mariadb.fresh_uri()))
    assert check_database(transactions) == {"database": "ok"}
    with mariadb.frozen():
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(DatabaseUnavailable):
                check_database(transactions)
            assert time.monotonic() - started < 0.8
    wait_until(lambda: check_database(transactions), 10)
    transactions.engine.dispose()
