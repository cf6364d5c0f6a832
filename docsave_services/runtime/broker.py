"""A private RabbitMQ node: its files in one directory, its ports on loopback, its own epmd, cookie and password.

Nothing of it touches a RabbitMQ that the machine runs for others, and nothing of theirs is mistaken for it: the node
carries a random cluster name, and a broker that answers with another name is not ours.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amqp

from docsave_services.runtime.broker_rights import CALLS, OPERATOR, definitions
from docsave_services.runtime.ports import LOOPBACK, free_ports, is_taken
from docsave_services.storage.durable import make_directories, write_file

NODE_NAME = "docsave@localhost"
_DEBIAN_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

_CONFIGURATION = """\
cluster_name = {cluster}
load_definitions = {definitions}
listeners.tcp.1 = {host}:{port}
log.console = false
log.file.level = info
log.file.rotation.size = 10485760
log.file.rotation.count = 3
"""


def find_program() -> Path | None:
    """``rabbitmq-server``, or None. Debian's command in PATH changes the user; the program behind it does not."""
    if _DEBIAN_PROGRAM.exists():
        return _DEBIAN_PROGRAM
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


@dataclass(frozen=True, slots=True)
class BrokerNode:
    """One node's identity and ports, kept in ``directory``."""

    directory: Path
    program: Path
    cluster: str
    password: str
    amqp_port: int
    dist_port: int
    epmd_port: int

    @classmethod
    def load(cls, directory: Path, program: Path) -> BrokerNode:
        """The node that ``prepare`` left in ``directory``."""
        return cls(directory=directory, program=program, **_read_identity(directory / "node.json"))

    @classmethod
    def prepare(cls, directory: Path, program: Path) -> BrokerNode:
        """Read the node's identity, or make one; pick new ports when another program took one of ours meanwhile.

        Call it while the node is down. The directory is private to its owner.
        """
        make_directories(directory, 0o700)
        make_directories(directory / "home", 0o700)
        identity = _read_identity(directory / "node.json")
        ports = [identity.get(name) for name in ("amqp_port", "dist_port", "epmd_port")]
        if not all(isinstance(port, int) and not is_taken(LOOPBACK, port) for port in ports):
            ports = list(free_ports(3))
        node = cls(
            directory=directory,
            program=program,
            cluster=identity.get("cluster") or f"docsave-{secrets.token_hex(16)}",
            password=identity.get("password") or secrets.token_urlsafe(32),
            amqp_port=int(ports[0] or 0),
            dist_port=int(ports[1] or 0),
            epmd_port=int(ports[2] or 0),
        )
        node._write()
        return node

    def _write(self) -> None:
        identity = {
            "cluster": self.cluster,
            "password": self.password,
            "amqp_port": self.amqp_port,
            "dist_port": self.dist_port,
            "epmd_port": self.epmd_port,
        }
        configuration = _CONFIGURATION.format(
            cluster=self.cluster, definitions=self.directory / "definitions.json", host=LOOPBACK, port=self.amqp_port
        )
        accounts = definitions({name: self._password_of(name) for name in (OPERATOR, *CALLS)})
        write_file(self.directory / "node.json", json.dumps(identity).encode(), 0o600)
        write_file(self.directory / "definitions.json", json.dumps(accounts).encode(), 0o600)
        write_file(self.directory / "rabbitmq.conf", configuration.encode(), 0o600)
        write_file(self.directory / "enabled_plugins", b"[].\n", 0o600)

    @property
    def amqp_uri(self) -> str:
        """Where the operator connects; it holds the password."""
        return self.amqp_uri_of(OPERATOR)

    def amqp_uri_of(self, name: str) -> str:
        """Where a service connects, with the rights of ``broker_rights``."""
        return f"amqp://{name}:{self._password_of(name)}@{LOOPBACK}:{self.amqp_port}/"

    def _password_of(self, name: str) -> str:
        """One secret is kept, the services' passwords are made of it."""
        if name == OPERATOR:
            return self.password
        return hmac.new(self.password.encode(), name.encode(), hashlib.sha256).hexdigest()

    def environment(self) -> dict[str, str]:
        """What epmd, the server and ``rabbitmqctl`` need beside the caller's environment."""
        files = self.directory
        return {
            "HOME": str(files / "home"),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_CRASH_DUMP": str(files / "erl_crash.dump"),
            "RABBITMQ_NODENAME": NODE_NAME,
            "RABBITMQ_NODE_PORT": str(self.amqp_port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_MNESIA_BASE": str(files / "mnesia"),
            "RABBITMQ_LOG_BASE": str(files / "log"),
            "RABBITMQ_CONFIG_FILE": str(files / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(files / "no-machine-wide-settings"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(files / "enabled_plugins"),
            # Without these the schedulers spin while they wait, on a machine that has better things to do.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false "
            "-kernel inet_dist_use_interface {127,0,0,1}",
            # The start script then replaces itself with the Erlang machine, so that signals reach it directly.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def command(self, part: str) -> list[str]:
        """How to run ``epmd``, Erlang's name server, or ``server``, the node itself, in the foreground.

        The node would otherwise start a name server of its own that outlives it; it waits for this one.
        """
        return [sys.executable, "-m", __name__, part, str(self.directory)]

    def wait_ready(self, seconds: float) -> bool:
        """Whether this very node accepts connections within ``seconds``."""
        return wait_for_broker(self.amqp_uri, seconds, cluster=self.cluster)


def _read_identity(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        return {}  # a damaged file: a new identity is as good, the old node's data can no longer be reached
    return content if isinstance(content, dict) else {}


def wait_for_broker(amqp_uri: str, seconds: float, cluster: str | None = None) -> bool:
    """Whether an AMQP broker lets us in within ``seconds``; ``cluster`` is the name it must answer with."""
    deadline = time.monotonic() + seconds
    while not _lets_us_in(amqp_uri, cluster):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True


def _lets_us_in(amqp_uri: str, cluster: str | None) -> bool:
    from kombu.utils.url import parse_url  # late: this module also starts the node, where each import costs time

    where = parse_url(amqp_uri)
    connection = amqp.Connection(
        host=f"{where['hostname'] or LOOPBACK}:{where['port'] or 5672}",
        userid=where["userid"] or "guest",
        password=where["password"] or "guest",
        virtual_host=where["virtual_host"] or "/",
        ssl=where["transport"] == "amqps",
        connect_timeout=2,
        read_timeout=2,
        write_timeout=2,
    )
    try:
        connection.connect()
    except (OSError, amqp.AMQPError):
        return False
    else:
        return cluster is None or connection.server_properties.get("cluster_name") == cluster
    finally:
        connection.collect()


def _wait_for_epmd(port: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            if time.monotonic() >= deadline:
                sys.exit(f"epmd does not answer on port {port}")
            time.sleep(0.05)
        else:
            return


def _become(part: str, directory: Path) -> None:
    program = find_program()
    if program is None:
        sys.exit("rabbitmq-server is not installed")
    node = BrokerNode.load(directory, program)
    environment = {**os.environ, **node.environment()}
    if part == "epmd":
        os.execvpe("epmd", ["epmd", "-port", str(node.epmd_port), "-address", LOOPBACK], environment)  # noqa: S606
    _wait_for_epmd(node.epmd_port)
    os.execve(program, [str(program)], environment)  # noqa: S606


if __name__ == "__main__":
    _become(sys.argv[1], Path(sys.argv[2]))
