"""What the bridge's tests need: a bridge process, a journal to feed it, and clients that record."""

from __future__ import annotations

import base64
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import socketio
from nameko.containers import ServiceContainer
from nameko.standalone.events import event_dispatcher

from docsave_services.contracts import FILE_CREATE, FILE_PROTECTED, FILES, REVOKED, USERS
from docsave_services.domain.change_filter import ChangeFilter
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.filters import label_filter
from docsave_services.errors import CursorExpired, InvalidInput, Unauthenticated
from docsave_services.nameko_ext import rpc
from docsave_services.times import now, to_text
from docsave_services.tokens import issue_access_token
from tests.support.programs import ROOT, Program
from tests.support.waiting import wait_until

SECRET = "a secret that only these tests use, 0123456789"


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def token(user_id: int, role: str = "user", age: float = 0, **claims: Any) -> str:
    """An access token issued ``age`` seconds ago."""

    return issue_access_token(SECRET, user_id, role, time.time() - age, **claims)  # type: ignore[arg-type]


class Accounts:
    """A real ``users`` service on the bus that knows what was revoked and which keys there are."""

    def __init__(self, amqp_uri: str) -> None:
        self.config = {"AMQP_URI": amqp_uri}
        self.revoked: list[dict[str, Any]] = []
        self.keys: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self._numbers = itertools.count(1)
        self.container: ServiceContainer | None = None
        self._dispatch = event_dispatcher(self.config)

    def revoke(self, kind: str, subject: str | int, min_version: int | None = None, told: bool = True) -> None:
        """End a session, a user's older tokens or a key; with ``told=False`` the bus loses the event."""
        until = to_text(now() + timedelta(minutes=15))
        seq = len(self.revoked) + 1
        self.revoked.append({"seq": seq, "kind": kind, "id": subject, "min_version": min_version, "until": until})
        if told:
            self._dispatch(USERS, REVOKED, self.revoked[-1])

    def add_key(self, key: str, user_id: int, scopes: list[str], **fields: Any) -> dict[str, Any]:
        """A key that works from now on."""
        self.keys[key] = {
            "key_id": next(self._numbers),
            "user_id": user_id,
            "role": "user",
            "version": 0,
            "scopes": scopes,
            "expires_at": None,
            **fields,
        }
        return self.keys[key]

    def start(self) -> None:
        """Serve it as the service ``users``."""
        accounts = self

        class StandInUsers:
            name = USERS

            @rpc
            def revocations(self, since: int | None = None) -> dict[str, Any]:
                items = [item for item in accounts.revoked if item["seq"] > (since or 0)]
                return {"items": items, "seq": len(accounts.revoked)}

            @rpc
            def verify_key(self, key: str) -> dict[str, Any]:
                accounts.asked.append(key)
                if key not in accounts.keys:
                    raise Unauthenticated
                return accounts.keys[key]

        self.container = ServiceContainer(StandInUsers, self.config)
        self.container.start()

    def stop(self) -> None:
        """Be away."""
        if self.container is not None:
            self.container.stop()
            self.container = None


class Journal:
    """A real ``files`` service on the bus whose journal is a list; ``add`` tells the bus, or forgets to."""

    def __init__(self, amqp_uri: str) -> None:
        self.config = {"AMQP_URI": amqp_uri}
        self.epoch = str(uuid.uuid4())
        self.events: list[dict[str, Any]] = []
        self.reads = 0
        self.container: ServiceContainer | None = None
        self._dispatch = event_dispatcher(self.config)

    @property
    def head(self) -> str:
        """The newest place."""
        return f"{self.epoch}:{len(self.events)}"

    def add(self, user_id: int, event_type: str = FILE_CREATE, told: bool = True, **fields: Any) -> dict[str, Any]:
        """One more change; with ``told=False`` the bus loses it."""
        number = len(self.events) + 1
        event = {
            "event_id": number,
            "type": event_type,
            "id": number,
            "user_id": user_id,
            "name": f"{number}.txt",
            "path": f"ab/cd/{number}",
            "size": number,
            "media_type": "text/plain",
            "sha256": "0" * 64,
            "version": 1,
            "at": "2026-11-24T10:15:00Z",
            "by": user_id,
            "folder": "",
            "labels": {},
            "permanent": False,
            "cursor": f"{self.epoch}:{number}",
            **fields,
        }
        self.events.append(event)
        if told:
            self.tell(event)
        return event

    def tell(self, event: dict[str, Any]) -> None:
        """Put an event on the bus."""
        self._dispatch(FILES, event["type"], event)

    def protect(self, *versions: dict[str, int]) -> None:
        """Tell the bus that copies of these versions are safe."""
        self._dispatch(FILES, FILE_PROTECTED, {"items": list(versions)})

    def replace(self) -> None:
        """Another, empty journal, as after a restored database."""
        self.epoch, self.events = str(uuid.uuid4()), []

    def changes(
        self,
        since: str | int | None = None,
        limit: int = 100,
        user_id: int | None = None,
        types: Sequence[str] = (),
        folder: str = "",
        labels: Sequence[str] = (),
    ) -> dict[str, Any]:
        """A page of the journal as the files service answers."""
        self.reads += 1
        place = self._place(since)
        wanted = ChangeFilter(tuple(types), folder, tuple(map(label_filter, labels)))
        events = [e for e in self.events[place:] if user_id in (None, e["user_id"]) and wanted.passes(e)]
        items = events[:limit]
        cursor = items[-1]["cursor"] if len(events) > limit else self.head
        return {"items": items, "cursor": cursor, "more": len(events) > limit}

    def _place(self, since: str | int | None) -> int:
        if since is None:
            return 0
        text = str(since)
        try:
            place = Cursor(self.epoch, int(text)) if text.isdigit() else Cursor.parse(text)
        except ValueError as exc:
            raise InvalidInput.for_field("since", "is not a cursor") from exc
        if place.epoch != self.epoch or place.event_id > len(self.events):
            raise CursorExpired
        return place.event_id

    def start(self) -> None:
        """Serve it as the service ``files``."""
        journal = self

        class StandInFiles:
            name = FILES

            @rpc
            def head(self) -> dict[str, str]:
                return {"cursor": journal.head}

            @rpc
            def changes(self, **query: Any) -> dict[str, Any]:
                return journal.changes(**query)

        self.container = ServiceContainer(StandInFiles, {**self.config, "max_workers": 50})
        self.container.start()

    def stop(self) -> None:
        """Be away."""
        if self.container is not None:
            self.container.stop()
            self.container = None


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
        return bool(answer.status == 200)


class Bridge:
    """The notifier as a process of its own."""

    def __init__(self, amqp_uri: str, directory: Path, port: int | None = None, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            "DOCSAVE_AMQP_URI": amqp_uri,
            "DOCSAVE_NOTIFIER_PORT": str(self.port),
            "DOCSAVE_DATA_DIR": str(directory),
            "DOCSAVE_SECRET_KEY": SECRET,
            "PYTHONWARNINGS": "ignore",
            **settings,
        }
        command = ["run", "--config", "config.yml", "notifier_bridge.service:Notifier"]
        starter = [sys.executable, "-c", "from nameko.cli.main import main; main()", *command]
        self.program = Program(starter, directory / "notifier.log", environment)

    def wait_ready(self) -> None:
        """Until its port answers."""
        wait_until(lambda: _answers(f"{self.url}/health/live"), 20)

    def wait_following(self) -> None:
        """Until it knows the journal and lets people in."""
        wait_until(lambda: "journal_followed" in self.output(), 30)

    def memory_bytes(self) -> int:
        """What the process holds at this moment."""
        status = Path(f"/proc/{self.program.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def output(self) -> str:
        """Its log."""
        return self.program.output()


class Recorder:
    """A python-socketio client that keeps all it hears."""

    def __init__(self, url: str, transports: list[str], auth: Any = None) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.client = socketio.Client(reconnection=False)
        self.client.on("*", lambda event, *args: self.heard.append((event, *args)))
        self.client.connect(url, transports=transports, auth=auth, wait_timeout=5)

    def call(self, event: str, payload: Any = None) -> Any:
        """Emit and wait for the ack."""
        return self.client.call(event, payload, timeout=5)

    @property
    def ids(self) -> list[int]:
        """The event ids heard, in order."""
        return [args[0]["event_id"] for event, *args in self.heard if event.startswith("Notify_")]

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection."""
        return not self.client.connected

    def close(self) -> None:
        """Leave."""
        self.client.disconnect()


class NodeClient:
    """The official JavaScript client in a process; ``package`` chooses its major version."""

    def __init__(self, package: str, url: str, transports: str, auth: Any = None) -> None:
        command = ["node", str(ROOT / "tests" / "js" / "client.js"), package, url, transports]
        self.process = subprocess.Popen(
            command + ([json.dumps(auth)] if auth is not None else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def said(self, key: str, deadline: float = 10) -> dict[str, Any]:
        """The first line with that key, when it comes."""
        return wait_until(lambda: next((line for line in self.lines if key in line), None), deadline)

    def emit(self, event: str, *args: Any) -> Any:
        """Emit with an ack, and the ack."""
        before = sum("ack" in line for line in self.lines)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"emit": [event, *args]}) + "\n")
        self.process.stdin.flush()
        return wait_until(lambda: [line for line in self.lines if "ack" in line][before], 10)["ack"]

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """What the server emitted: (event, payload)."""
        return [(line["event"], line["args"][0]) for line in self.lines if "event" in line]

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(10)


class RawWebSocket:
    """A websocket without a Socket.IO library: sends what no decent client would, and can stop reading."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        self.sock.sendall(request.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.sock.recv(1)
        assert b" 101 " in answer

    def send(self, data: bytes | str, opcode: int = 1, final: bool = True) -> None:
        """One masked frame."""
        payload = data.encode() if isinstance(data, str) else data
        first = bytes([opcode | (0x80 if final else 0)])
        if len(payload) < 126:
            length = bytes([0x80 | len(payload)])
        elif len(payload) < 65536:
            length = bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
        else:
            length = bytes([0x80 | 127]) + len(payload).to_bytes(8, "big")
        self.sock.sendall(first + length + b"\0\0\0\0" + payload)

    def read_text(self) -> str | None:
        """The next text frame; None when the server closed."""
        while True:
            head = self._exactly(2)
            if head is None:
                return None
            size = head[1] & 127
            if size == 126:
                size = int.from_bytes(self._exactly(2) or b"", "big")
            body = self._exactly(size)
            if body is None or head[0] & 15 == 8:
                return None
            if head[0] & 15 == 1:
                return body.decode()

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                piece = self.sock.recv(size - len(data))
            except ConnectionError:
                return None
            if not piece:
                return None
            data += piece
        return data

    def read_until_closed(self) -> list[str]:
        """All text frames until the server closes; a time-out of the socket is a failure."""
        texts = []
        while (text := self.read_text()) is not None:
            texts.append(text)
        return texts

    def close(self) -> None:
        """Hang up."""
        self.sock.close()
