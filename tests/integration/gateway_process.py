"""A gateway in a process of its own, and services behind it: real ones, or stand-ins that a test can bend."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import eventlet
import requests
from nameko.containers import ServiceContainer
from nameko.events import EventDispatcher

from docsave_services.contracts import FILES, REVOKED, USERS
from docsave_services.errors import Unauthenticated
from docsave_services.nameko_ext import rpc
from docsave_services.runtime.ports import free_ports
from docsave_services.storage import blob_key, sha256_of_key
from docsave_services.times import now, to_text
from docsave_services.tokens import issue_access_token
from gateway_http.responses import public_file
from tests.support.api_document import check_status
from tests.support.programs import Program
from tests.support.waiting import wait_until

SECRET_KEY = "a secret key for tests, 32 bytes or more"
MAX_FILE_BYTES = 400 * 1024 * 1024
BODY_TIMEOUT_SECONDS = 3


def token(user_id: int = 1, role: Any = "user", **claims: Any) -> str:
    """A valid access token."""
    return issue_access_token(SECRET_KEY, user_id, role, **claims)


def bearer(user_id: int = 1, role: Any = "user", **claims: Any) -> dict[str, str]:
    """The headers of somebody who is logged in."""
    return {"Authorization": f"Bearer {token(user_id, role, **claims)}"}


class GatewayProcess:
    """``nameko run gateway:Gateway`` on a free port, with a data directory of its own."""

    def __init__(self, amqp_uri: str, directory: Path, **settings: Any) -> None:
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = directory
        self.blob_dir = directory / "data" / "blobs"
        values = {
            "AMQP_URI": amqp_uri,
            "PORT": self.port,
            "DATA_DIR": directory / "data",
            "BACKUP_DIR": directory / "backups",
            "SECRET_KEY": SECRET_KEY,
            "MAX_FILE_BYTES": MAX_FILE_BYTES,
            "BODY_TIMEOUT_SECONDS": BODY_TIMEOUT_SECONDS,
            "LOG_FORMAT": "json",
            **settings,
        }
        self.env = {f"DOCSAVE_{key}": str(value) for key, value in values.items()} | {"PYTHONWARNINGS": "ignore"}
        self.program = self.run("gateway:Gateway")
        wait_until(lambda: self.get("/health/live").ok, 30)

    def run(self, service: str) -> Program:
        """One service of the system in a process of its own."""
        nameko = str(Path(sys.executable).with_name("nameko"))
        log = self.directory / f"{service.partition(':')[0]}.log"
        return Program([nameko, "run", "--config", "config.yml", service], log, self.env)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.request("GET", path, **kwargs)

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        answer = requests.request(method, self.url + path, timeout=60, **kwargs)
        check_status(answer)
        return answer

    def connect(self) -> socket.socket:
        """A plain connection, for what no HTTP library sends."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, request: bytes, then_close_writing: bool = False) -> bytes:
        """Send bytes as they are; everything that comes back until the gateway closes."""
        with self.connect() as sock:
            try:
                sock.sendall(request)
                if then_close_writing:
                    sock.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # answered and closed before it had everything: that is what some tests are about
            return read_to_end(sock)

    def staged(self) -> list[str]:
        """Unfinished uploads on disk."""
        return sorted(p.name for p in (self.blob_dir / "staging").iterdir())

    def blobs(self) -> list[str]:
        """The hashes of all content in the store."""
        return sorted(p.name for p in self.blob_dir.glob("??/??/*"))

    def connections(self) -> int:
        """Sockets the process has open."""
        return sum(str(link).startswith("socket:") for link in self._descriptors())

    def _descriptors(self) -> Iterator[Path]:
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                yield entry.readlink()

    def open_blobs(self) -> int:
        """File descriptors of the process that point into the blob store."""
        return sum(str(self.blob_dir) in str(link) for link in self._descriptors())

    @property
    def pid(self) -> int:
        return self.program.process.pid

    def rss_bytes(self) -> int:
        """Memory the process holds at this moment."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert match is not None
        return int(match[1]) * 1024

    def peak_bytes(self) -> int:
        """The most memory it ever held."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+) kB", text)
        assert match is not None
        return int(match[1]) * 1024

    def uploads(self) -> list[str]:
        """Resumable uploads that are not files yet."""
        return sorted(p.name for p in self.blob_dir.glob("uploads/open/*/*"))

    def restart(self, number: signal.Signals) -> None:
        """End the process with a signal and start another on the same port and data."""
        self.stop(number)
        self.program = self.run("gateway:Gateway")
        wait_until(lambda: self.get("/health/live").ok, 30)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.program.stop(number)


def read_to_end(sock: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = b""
    try:
        while piece := sock.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def head_of(sock: socket.socket) -> bytes:
    """What arrives up to the end of the headers."""
    received = b""
    while b"\r\n\r\n" not in received and (piece := sock.recv(1)):
        received += piece
    return received


def problem_in(answer: bytes) -> dict[str, Any]:
    """The problem in a raw answer; checks that it is one, with the id also in the header."""
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = dict(line.decode().lower().split(": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers["content-type"] == "application/problem+json", answer
    problem: dict[str, Any] = json.loads(body[: int(headers["content-length"])])
    assert problem["request_id"] == headers["x-request-id"]
    assert head.split(b" ")[1] == str(problem["status"]).encode()
    return problem


def problem_of(response: requests.Response, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer; checks that it is one, and which."""
    assert response.headers["Content-Type"] == "application/problem+json", response.text
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert {"type", "title", "status", "detail", "code", "request_id"} <= problem.keys()
    assert problem["status"] == status
    assert response.headers["X-Request-Id"] == problem["request_id"]
    return problem


@dataclass
class Desk:
    """What the stand-ins do and what they were asked; a test changes it."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    before_apply: Callable[[], None] = lambda: None
    revoked: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[int | None] = field(default_factory=list)
    before_pull: Callable[[], None] = lambda: None
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)

    def revoke(self, kind: str, subject: str | int, min_version: int | None = None) -> dict[str, Any]:
        """One more revocation for the next pull."""
        until = to_text(now() + timedelta(minutes=15))
        seq = len(self.revoked) + 1
        self.revoked.append({"seq": seq, "kind": kind, "id": subject, "min_version": min_version, "until": until})
        return self.revoked[-1]

    def clear(self) -> None:
        self.rows.clear()
        self.made.clear()
        self.refusals.clear()
        self.batches.clear()
        self.calls.clear()
        self.before_apply = self.before_pull = lambda: None
        self.keys.clear()
        self.answers.clear()

    @property
    def changes(self) -> list[dict[str, Any]]:
        return [change for batch in self.batches for change in batch]

    def add(self, content: bytes, blob_dir: Path, **fields: Any) -> dict[str, Any]:
        """A file with its blob, as an earlier upload would have left them."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = blob_dir / blob_key(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return self.row(sha256, len(content), **fields)

    def row(self, sha256: str, size: int, **fields: Any) -> dict[str, Any]:
        file_id = len(self.rows) + 1
        self.rows[file_id] = {
            "id": file_id,
            "user_id": 1,
            "name": "a.txt",
            "size": size,
            "media_type": "text/plain",
            "sha256": sha256,
            "version": 1,
            "created_at": "2026-11-24T10:15:00Z",
            "updated_at": "2026-11-24T10:15:00Z",
            "deleted_at": None,
            "folder": "",
            "labels": {},
            "backup": {"state": "pending", "version": 0},
            "path": blob_key(sha256),
            **fields,
        }
        return self.rows[file_id]


def stand_ins(amqp_uri: str, desk: Desk) -> list[ServiceContainer]:
    """Small ``files`` and ``users`` services in this process."""

    class StandInFiles:
        name = FILES

        @rpc
        def apply(self, changes: Any) -> Any:
            desk.batches.append(changes)
            desk.before_apply()
            return [desk.refusals.pop() if desk.refusals else outcome_of(change) for change in changes]

        @rpc
        def get_many(self, file_ids: Any) -> Any:
            return [desk.rows.get(file_id) for file_id in file_ids]

        @rpc
        def usage(self, user_id: int) -> Any:
            desk.calls.append(("usage", {"user_id": user_id}))
            usage = {"user_id": user_id, "files": 0, "used_bytes": 0, "quota_bytes": None}
            return usage | desk.answers.get("usage", {})

        @rpc
        def list(self, **query: Any) -> Any:
            desk.calls.append(("list", query))
            return {"items": [public_file(row) for row in desk.rows.values()], "next": None}

        @rpc
        def list_many(self, lists: Any) -> Any:
            return [{"ok": True, "page": json.dumps(self.list(**query))} for query in lists]

        @rpc
        def health(self) -> Any:
            return {"database": "ok"}

    class StandInUsers:
        name = USERS

        dispatch = EventDispatcher()

        @rpc
        def revocations(self, since: int | None) -> Any:
            desk.pulls.append(since)
            desk.before_pull()
            items = [item for item in desk.revoked if item["seq"] > (since or 0)]
            return {"items": items, "seq": len(desk.revoked)}

        @rpc
        def tell(self, item: Any) -> Any:
            self.dispatch(REVOKED, item)

        @rpc
        def verify_key(self, key: str) -> Any:
            desk.calls.append(("verify_key", {"key": key}))
            if key not in desk.keys:
                raise Unauthenticated
            return desk.keys[key]

        @rpc
        def create(self, **fields: Any) -> Any:
            desk.calls.append(("create", fields))
            return {"id": 7, "login": fields["login"], "role": "user"}

        @rpc
        def health(self) -> Any:
            return {"database": "ok"}

        def _answer(self, method: str, fields: dict[str, Any]) -> Any:
            desk.calls.append((method, fields))
            answer = desk.answers.get(method)
            if isinstance(answer, Exception):
                raise answer
            return answer

        @rpc
        def log_in(self, **fields: Any) -> Any:
            return self._answer("log_in", fields)

        @rpc
        def refresh(self, **fields: Any) -> Any:
            return self._answer("refresh", fields)

        @rpc
        def log_out(self, **fields: Any) -> Any:
            return self._answer("log_out", fields)

        @rpc
        def list_sessions(self, **fields: Any) -> Any:
            return self._answer("list_sessions", fields)

        @rpc
        def end_session(self, **fields: Any) -> Any:
            return self._answer("end_session", fields)

        @rpc
        def end_other_sessions(self, **fields: Any) -> Any:
            return self._answer("end_other_sessions", fields)

        @rpc
        def get(self, **fields: Any) -> Any:
            return self._answer("get", fields)

        @rpc
        def list(self, **fields: Any) -> Any:
            return self._answer("list", fields)

        @rpc
        def update(self, **fields: Any) -> Any:
            return self._answer("update", fields)

        @rpc
        def create_key(self, **fields: Any) -> Any:
            return self._answer("create_key", fields)

        @rpc
        def list_keys(self, **fields: Any) -> Any:
            return self._answer("list_keys", fields)

        @rpc
        def revoke_key(self, **fields: Any) -> Any:
            return self._answer("revoke_key", fields)

        @rpc
        def audit(self, **fields: Any) -> Any:
            return self._answer("audit", fields)

    def outcome_of(change: dict[str, Any]) -> dict[str, Any]:
        if change["op"] in ("create", "save") and change["change_key"] not in desk.made:
            sha256 = sha256_of_key(change["path"])
            fields = {"user_id": change["user_id"], "name": change["name"], "media_type": change["media_type"]}
            desk.made[change["change_key"]] = desk.row(sha256, 0, **fields)
        if change["op"] in ("create", "save"):
            return {"ok": True, "created": True, "file": desk.made[change["change_key"]]}
        row = desk.rows.get(change["file_id"])
        if row is None or change["owner"] not in (None, row["user_id"]):
            return {"ok": False, "code": "not_found", "detail": "There is nothing here."}
        return {"ok": True, "created": False, "file": row}

    config = {"AMQP_URI": amqp_uri, "max_workers": 20}
    containers = [ServiceContainer(service, config) for service in (StandInFiles, StandInUsers)]
    for container in containers:
        container.start()
    return containers


def stop_all(containers: list[ServiceContainer]) -> None:
    """End stand-ins, also ones that a test left hanging."""
    with eventlet.Timeout(10, False):
        for container in containers:
            container.stop()
    for container in containers:
        container.kill()
