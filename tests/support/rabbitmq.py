"""A private RabbitMQ node for tests: the same node that ``make run`` starts, without the supervisor."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import kombu.pools

from docsave_services.runtime.broker import BrokerNode, find_program
from tests.support.programs import Program
from tests.support.stillness import held_still
from tests.support.waiting import wait_until

READY_SECONDS = 60.0


class Broker:
    """A running node. ``kill`` is a crash, ``restart`` brings it back on the same ports with its durable data."""

    def __init__(self, directory: Path) -> None:
        program = find_program()
        assert program is not None, "rabbitmq-server is not installed"
        self.node = BrokerNode.prepare(directory, program)
        self._log = directory / "output.log"
        self._epmd: Program | None = None
        self._server: Program | None = None

    @property
    def amqp_uri(self) -> str:
        """Where clients connect."""
        return self.node.amqp_uri

    def start(self) -> None:
        """Start the node and wait until it accepts connections."""
        if self._epmd is None or not self._epmd.running:
            self._epmd = Program(self.node.command("epmd"), self._log)
        self._server = Program(self.node.command("server"), self._log)
        assert self.node.wait_ready(READY_SECONDS), self._server.output()
        # Containers of the test's own process must not meet pooled connections to the node that was killed.
        kombu.pools.reset()

    def pids(self) -> list[int]:
        """The process ids of the programs that were started; what descends from them is not among them."""
        return [program.process.pid for program in (self._server, self._epmd) if program is not None]

    def kill(self) -> None:
        """End the node as a crash would."""
        if self._server is not None:
            self._server.stop(signal.SIGKILL)
            wait_until(lambda: not self.node.wait_ready(0), 10)

    def restart(self) -> None:
        """End the node if it still runs (as a crash would), and start it again."""
        self.kill()
        self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It is there, accepts connections, and says nothing for the length of the block."""
        assert self._server is not None
        with held_still(self._server.process.pid):
            yield

    def stop(self) -> None:
        """End everything."""
        for program in (self._server, self._epmd):
            if program is not None:
                program.stop()
