"""The private broker and the database server that tests and ``make run`` rely on."""

from __future__ import annotations

import json
import socket
import stat

import pymysql
import pytest
from kombu import Connection, Queue

from docsave_services.runtime.broker import BrokerNode, find_program, wait_for_broker
from docsave_services.runtime.ports import LOOPBACK, is_taken


def test_durable_message_survives_a_crash_of_the_broker(broker, unique_service_names, wait_until):
    """After kill -9 and restart the node has the same address, the same password and the confirmed message."""
    queue = Queue(unique_service_names("kept"), durable=True, queue_arguments={"x-queue-type": "quorum"})
    with Connection(broker.amqp_uri, transport_options={"confirm_publish": True}) as connection:
        connection.Producer().publish("kept", routing_key=queue.name, declare=[queue], delivery_mode=2)
    # RabbitMQ writes the register of its quorum queues with a delay of half a second: one declared just before a
    # kill -9 never opens again, so the crash that is tested here comes after that.
    register = next(broker.node.directory.glob("mnesia/*/quorum/*/names.dets"))
    wait_until(lambda: queue.name.encode() in register.read_bytes(), 10)
    broker.restart()
    with Connection(broker.amqp_uri) as connection:
        message = queue(connection.default_channel).get(no_ack=True)
    assert message.payload == "kept"


def test_broker_refuses_a_wrong_password(broker):
    """Only the generated password opens the node."""
    assert wait_for_broker(broker.amqp_uri, 5)
    assert not wait_for_broker(broker.amqp_uri.replace(broker.node.password, "guess"), 0)
    assert not wait_for_broker(f"amqp://guest:guest@{LOOPBACK}:{broker.node.amqp_port}/", 0)


def test_another_broker_is_not_mistaken_for_ours(broker):
    """A broker that lets us in but carries another cluster name is not ours."""
    assert not wait_for_broker(broker.amqp_uri, 0, cluster="somebody-else")


def test_broker_listens_on_loopback_only(broker):
    """Neither AMQP nor Erlang's distribution nor epmd is reachable from outside."""
    for port in (broker.node.amqp_port, broker.node.dist_port, broker.node.epmd_port):
        found = _listening_addresses(port)
        assert found
        assert found <= _LOOPBACK_ADDRESSES


def test_identity_is_kept_and_ports_are_replaced_only_when_taken(tmp_path):
    """Password, name and ports stay from start to start; a port that another program took is replaced."""
    program = find_program()
    first = BrokerNode.prepare(tmp_path / "broker", program)
    assert BrokerNode.prepare(tmp_path / "broker", program) == first
    with socket.create_server((LOOPBACK, first.amqp_port)):
        third = BrokerNode.prepare(tmp_path / "broker", program)
    assert third.amqp_port != first.amqp_port
    assert (third.password, third.cluster) == (first.password, first.cluster)
    assert str(third.amqp_port) in (tmp_path / "broker" / "rabbitmq.conf").read_text()


def test_files_with_the_password_are_private(tmp_path):
    """Whoever else is on the machine cannot read the broker's password."""
    node = BrokerNode.prepare(tmp_path / "broker", find_program())
    assert stat.S_IMODE(node.directory.stat().st_mode) == 0o700
    holders = [path for path in node.directory.iterdir() if path.is_file() and node.password in path.read_text()]
    assert {path.name for path in holders} == {"node.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}
    assert json.loads((node.directory / "node.json").read_text())["password"] == node.password


def test_port_shared_by_reuseport_counts_as_taken():
    """A listener with SO_REUSEPORT, which would silently share its port, is seen."""
    with socket.create_server((LOOPBACK, 0), reuse_port=True) as other:
        assert is_taken(LOOPBACK, other.getsockname()[1])


def test_mariadb_is_durable_and_private(mariadb):
    """The test server has the settings without which a commit may be seen before it is on disk."""
    assert _listening_addresses(mariadb.port) == {"0100007F"}
    mariadb.uri("probe")
    connection = pymysql.connect(host=LOOPBACK, port=mariadb.port, user="root", database="probe")
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT @@log_bin, @@sync_binlog, @@innodb_flush_log_at_trx_commit")
        assert cursor.fetchone() == (1, 1, 1)
    finally:
        connection.close()


def test_database_uri_is_a_new_database(database_uri):
    """The fixture gives SQLite and MariaDB in turn."""
    assert database_uri.startswith(("sqlite:///", "mysql+pymysql://"))


_LOOPBACK_ADDRESSES = {"0100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1 as the kernel's tables write them."""


def _listening_addresses(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in open(table).read().splitlines()[1:]:  # noqa: SIM115, PTH123 - /proc
            local, state = line.split()[1], line.split()[3]
            address, _, number = local.rpartition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


pytestmark = pytest.mark.process
