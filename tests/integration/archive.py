"""docsave with a backup, as processes on SQLite and a real broker, and three people."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path
from typing import Any

import requests
from nameko.standalone.rpc import ClusterRpcProxy

from docsave_services.storage import blob_key
from tests.integration.gateway_process import GatewayProcess, bearer
from tests.support.databases import prepare
from tests.support.programs import Program
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until


class Archive:
    """docsave with a backup that can be taken away, and two people."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        self.gateway = GatewayProcess(broker.amqp_uri, directory)
        self.root = directory / "backups"
        self._amqp_uri = broker.amqp_uri
        self._number = 0
        prepare(f"sqlite:///{directory}/data/docsave.sqlite3")
        self.services = [
            self.gateway.run(f"docsave_services.{name}")
            for name in ("users.service:UsersService", "files.service:FilesService")
        ]
        self.backup: Program | None = None
        self.start_backup()
        self._wait_for("files", "users")
        self.anna, self.boris, self.admin = (
            self.rpc("users", "create", login=login, password="correct horse 1")["id"]
            for login in ("anna", "boris", "clara")
        )

    def next_number(self) -> int:
        """1, 2, 3: for names that differ."""
        self._number += 1
        return self._number

    def start_backup(self) -> None:
        """Start the backup service; it is there when this returns."""
        self.backup = self.gateway.run("backup.service:Backup")
        self._wait_for("backup")

    def stop_backup(self) -> None:
        """Take it away."""
        assert self.backup is not None
        self.backup.stop()

    def stop(self) -> None:
        """End all, at the same time."""
        programs = [self.gateway.program, *self.services, *filter(None, [self.backup])]
        for program in programs:
            program.send(signal.SIGTERM)
        for program in programs:
            program.stop()

    def _wait_for(self, *names: str) -> None:
        for name in names:
            wait_until(lambda n=name: self.gateway.get("/health/ready").json()["checks"][n]["status"] == "ok", 30)

    def rpc(self, service: str, method: str, **arguments: Any) -> Any:
        """What the operator's shell can do."""
        with ClusterRpcProxy({"AMQP_URI": self._amqp_uri}, timeout=10) as proxy:
            return getattr(proxy[service], method)(**arguments)

    def ask(self, method: str, path: str, by: int | None = None, **options: Any) -> requests.Response:
        """A request of Anna's, or of somebody else's."""
        role = "admin" if by == self.admin else "user"
        headers = {**bearer(by or self.anna, role), **options.pop("headers", {})}
        return self.gateway.request(method, path, headers=headers, **options)

    def save(self, name: str, content: bytes) -> dict[str, Any]:
        """A new file of Anna's."""
        answer = self.ask("POST", f"/files?name={name}", data=content)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def replace(self, file: dict[str, Any], content: bytes) -> dict[str, Any]:
        """New content."""
        answer = self.ask("PUT", f"/files/{file['id']}/content", data=content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_copied(self, file: dict[str, Any], version: int) -> None:
        """Until that version of a file is an entry."""
        wait_until(self.entry(file, version).exists, 30)

    def entry(self, file: dict[str, Any], version: int) -> Path:
        """The JSON of a version."""
        return self.root / "history" / str(file["user_id"]) / str(file["id"]) / f"v{version:06d}.json"

    def copy(self, file: dict[str, Any], version: int) -> Path:
        """The bytes of a version."""
        [path] = self.entry(file, version).parent.glob(f"v{version:06d}_*")
        return path

    def blob(self, content: bytes) -> Path:
        """Where content lies in the blob store."""
        return self.gateway.blob_dir / blob_key(hashlib.sha256(content).hexdigest())
