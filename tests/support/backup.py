"""What the backup's tests need: a backup process, and a files service whose journal is a list."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventlet
from nameko.containers import ServiceContainer
from nameko.standalone.events import event_dispatcher
from nameko.standalone.rpc import ClusterRpcProxy

from docsave_services.contracts import BACKUP, FILES, FileEvent
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import CursorExpired
from docsave_services.nameko_ext import rpc
from tests.support.journal import Journal
from tests.support.programs import ROOT, Program
from tests.support.waiting import wait_until


class StandInFiles:
    """Serves ``journal`` as the service ``files`` and keeps what is reported to it."""

    def __init__(self, amqp_uri: str, journal: Journal) -> None:
        self.config = {"AMQP_URI": amqp_uri}
        self.journal = journal
        self.protected: dict[int, int] = {}
        self.reports = 0
        self.through: str | None = None
        self.hear_claim: Callable[[int], None] = lambda _: None
        """Called with each place that the backup reports, before it is answered."""
        self._container: ServiceContainer | None = None

    def tell(self, *events: FileEvent) -> None:
        """Put events on the bus."""
        dispatch = event_dispatcher(self.config)
        for event in events:
            dispatch(FILES, event["type"], event)

    def start(self) -> None:
        """Begin to answer."""
        self._container = ServiceContainer(_service_class(self), self.config)
        self._container.start()

    def stop(self) -> None:
        """Go away; harmless when it has."""
        if self._container:
            self._container.stop()
            self._container = None

    def changes(self, since: str | None, limit: int) -> dict[str, Any]:
        """A page of the journal."""
        place = Cursor.parse(since) if since else Cursor(self.journal.epoch, 0)
        events = self.journal.events
        if place.epoch != self.journal.epoch or place.event_id > len(events):
            raise CursorExpired
        items = events[place.event_id : place.event_id + limit]
        return {"items": items, "cursor": items[-1]["cursor"] if items else str(place)}


def _service_class(stand_in: StandInFiles) -> type:
    class Files:
        name = FILES

        @rpc
        def head(self) -> dict[str, str]:
            return {"cursor": f"{stand_in.journal.epoch}:{len(stand_in.journal.events)}"}

        @rpc
        def changes(self, since: str | None = None, limit: int = 100, user_id: int | None = None) -> dict[str, Any]:
            return stand_in.changes(since, limit)

        @rpc
        def protected(self, items: list[dict[str, int]], through: str) -> dict[str, int]:
            stand_in.reports += 1
            stand_in.hear_claim(Cursor.parse(through).event_id)
            stand_in.through = through
            for item in items:
                known = stand_in.protected.get(item["file_id"], 0)
                stand_in.protected[item["file_id"]] = max(known, item["version"])
            return {"updated": len(items)}

    return Files


class BackupProcess:
    """``backup.service:Backup`` as a process of its own; ``home`` holds ``backups`` and ``store`` (the data)."""

    def __init__(self, amqp_uri: str, home: Path, number: int = 0, **settings: str) -> None:
        self.amqp_uri = amqp_uri
        self.settings = settings
        self.root = home / "backups"
        self.data = home / "store"
        self._log = home / f"backup-{number}.log"
        self.program: Program | None = None

    def start(self) -> None:
        """Start it; it becomes active on its own."""
        nameko = str(Path(sys.executable).with_name("nameko"))
        environment = {
            "DOCSAVE_AMQP_URI": self.amqp_uri,
            "DOCSAVE_DATA_DIR": str(self.data),
            "DOCSAVE_BACKUP_DIR": str(self.root),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            **self.settings,
        }
        command = [nameko, "run", "--config", str(ROOT / "config.yml"), "backup.service:Backup"]
        self.program = Program(command, self._log, environment)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.program:
            self.program.stop(signal.SIGKILL)

    def stop(self) -> float:
        """SIGTERM; the seconds until it had ended."""
        assert self.program
        began = eventlet.hubs.get_hub().clock()
        self.program.send(signal.SIGTERM)
        self.program.wait(15)
        return float(eventlet.hubs.get_hub().clock() - began)

    def output(self) -> str:
        """Its log."""
        return self._log.read_text(errors="replace")

    def call(self, method: str, timeout: float = 5.0, **arguments: Any) -> Any:
        """RPC to whichever backup process answers."""
        with ClusterRpcProxy({"AMQP_URI": self.amqp_uri}, timeout=timeout) as proxy:
            return getattr(proxy[BACKUP], method)(**arguments)

    def wait_state(self, state: str, deadline: float = 20.0) -> dict[str, Any]:
        """The status once it says ``state``."""
        return wait_until(lambda: (s := self.call("status"))["state"] == state and s, deadline, 0.1) or {}

    def wait_caught_up(self, event_id: int, deadline: float = 30.0) -> None:
        """Until every event up to ``event_id`` is durably copied."""
        path = self.root / "state" / "cursor.json"
        wait_until(lambda: f'"copied": {event_id},' in path.read_text(), deadline)
