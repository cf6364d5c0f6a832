"""docsave as its processes, with somebody who has one document: where each bad input is tried."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docsave_services.runtime.ports import free_ports
from tests.integration.bad_input.row import Answer
from tests.integration.served_gateway import Account, ServedGateway, served_gateway
from tests.support.notifier import RawWebSocket, Recorder
from tests.support.programs import Program
from tests.support.waiting import wait_until

MAX_FILE_BYTES = 2 * 1024 * 1024
SAFE_SECONDS = 20.0

_OWN_AFFAIRS = {"lease", "backup_progress", "login_throttle", "audit_entry", "session", "refresh_token", "revocation",
                "revocation_head", "sqlite_sequence"}  # fmt: skip
"""Tables that change by themselves, or must when somebody tries a password."""

_UNTOLD = "SELECT event_id FROM file_event WHERE NOT dispatched"


class Place:
    """``person`` owns one document, ``file``, whose copy is safe. ``known`` is what docsave kept after the last input,
    ``silent`` a socket that never says who it is."""

    def __init__(self, gateway: ServedGateway, notifier_port: int, programs: dict[str, Program], rpc: Any) -> None:
        self.gateway = gateway
        self.notifier_port = notifier_port
        self.programs = programs
        self.rpc = rpc
        self.person = Account(gateway)
        self.file = self.keep(self.person.save(b"what there was before", "before.txt"))
        self.listener = self.recorder()
        assert self.listener.call("User_connect", self.token)["ok"]
        self.known = self.everything()
        self.silent, self.silent_since = RawWebSocket(notifier_port), time.monotonic()

    def close(self) -> None:
        """Hang up."""
        self.listener.close()
        self.silent.close()

    @property
    def token(self) -> str:
        """The person's access token."""
        return self.person.headers["Authorization"].partition(" ")[2]

    def recorder(self) -> Recorder:
        """One more socket."""
        return Recorder(f"http://127.0.0.1:{self.notifier_port}", ["websocket"])

    def ask(self, method: str, path: str, **kwargs: Any) -> Answer:
        """A request of the person's, by an HTTP library."""
        answer = self.person.ask(method, path, **kwargs)
        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    def anonymous(self, method: str, path: str, **kwargs: Any) -> Answer:
        """A request of nobody's."""
        answer = self.gateway.request(method, path, **kwargs)
        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    def raw(self, line: str, *headers: str, body: bytes = b"", fin: bool = False) -> Answer:
        """A request of the person's, byte for byte, on a connection that is read to its end."""
        head = self.person.head_of_request(line, *headers) + b"\r\n"
        return Answer.read(self.gateway.raw(head + body, then_close_writing=fin))

    def keep(self, file: dict[str, Any]) -> dict[str, Any]:
        """``file`` once its copy is safe: then nothing of it changes any more."""

        def safe() -> bool:
            seen = self.person.ask("GET", f"/files/{file['id']}").json()
            return bool(seen["backup"]["version"] == file["version"]) and not self._rows(_UNTOLD)

        wait_until(safe, SAFE_SECONDS)
        return file

    def everything(self) -> dict[str, Any]:
        """All that docsave keeps: rows, content, unfinished uploads, copies."""
        kept: dict[str, Any] = {
            "blobs": self.gateway.blobs(),
            "staged": self.gateway.staged(),
            "uploads": self.gateway.uploads(),
            "copies": sorted(p.name for p in self.gateway.directory.glob("backups/history/*/*/*")),
        }
        names = {name for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for name in sorted(names - _OWN_AFFAIRS):
            kept[name] = self._rows(f'SELECT * FROM "{name}"')  # noqa: S608 - a table's own name
        return kept

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        uri = f"file:{self.gateway.directory}/data/docsave.sqlite3?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            return database.execute(query).fetchall()

    def logs(self) -> dict[str, str]:
        """What each process has written."""
        return {path.stem: path.read_text(errors="replace") for path in self.gateway.directory.glob("*.log")}

    def memory(self, name: str) -> int:
        """Bytes that a process holds."""
        pages = Path(f"/proc/{self.programs[name].process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096


@contextlib.contextmanager
def place_on(amqp_uri: str, directory: Path) -> Iterator[Place]:
    """All services but webhooks' sender, ended with the block."""
    [port] = free_ports(1)
    programs: dict[str, Program] = {}
    # Log-ins by guess come from as many addresses as they like to.
    settings = {
        "MAX_FILE_BYTES": MAX_FILE_BYTES,
        "NOTIFIER_PORT": port,
        "BODY_TIMEOUT_SECONDS": 1,
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    with served_gateway(amqp_uri, directory, **settings) as gateway:
        try:
            for target in ("backup.service:Backup", "notifier_bridge.service:Notifier",
                           "docsave_services.webhooks.service:WebhooksService"):  # fmt: skip
                programs[target.split(".")[-2]] = gateway.run(target)
            wait_until(lambda: gateway.get("/health/ready").status_code == 200, 60, 0.2)
            programs |= {"gateway": gateway.program, "files": gateway.files}
            with gateway.rpc() as rpc, contextlib.closing(Place(gateway, port, programs, rpc)) as place:
                yield place
        finally:
            for program in programs.values():
                if program not in (gateway.program, gateway.files):
                    program.stop()
