"""A gateway with the real users and files services behind it, as processes on a database and a real broker."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eventlet
import requests
from nameko.standalone.rpc import ClusterRpcProxy
from sqlalchemy.orm import Session

from docsave_services.db.engine import make_engine
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.times import now
from tests.integration.gateway_process import GatewayProcess, bearer
from tests.support.api_document import check_body
from tests.support.databases import prepare
from tests.support.programs import Program
from tests.support.waiting import wait_until


class ServedGateway(GatewayProcess):
    """``files`` is the process of the files service, ``database`` a way past all services."""

    files: Program
    database: Transactions

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        answer = super().request(method, path, **kwargs)
        check_body(answer)
        return answer

    def rpc(self) -> Any:
        """Calls to the services, as the operator's shell makes them."""
        return ClusterRpcProxy({"AMQP_URI": self.env["DOCSAVE_AMQP_URI"]}, timeout=10)


@contextlib.contextmanager
def served_gateway(amqp_uri: str, directory: Path, db_uri: str = "", **settings: Any) -> Iterator[ServedGateway]:
    """Everything that uploads need, on SQLite unless ``db_uri`` names another database; ended with the block."""
    db_uri = db_uri or f"sqlite:///{directory}/data/docsave.sqlite3"
    gateway = ServedGateway(amqp_uri, directory, DB_URI=db_uri, **settings)
    gateway.database = Transactions(make_engine(db_uri))
    services: list[Program] = []
    try:
        prepare(db_uri)
        services.append(gateway.run("docsave_services.users.service:UsersService"))
        gateway.files = gateway.run("docsave_services.files.service:FilesService")
        services.append(gateway.files)

        def ready() -> bool:
            checks = gateway.get("/health/ready").json()["checks"]
            return all(checks[name]["status"] == "ok" for name in ("files", "users"))

        wait_until(ready, 30)
        yield gateway
    finally:
        stopping = [eventlet.spawn(part.stop) for part in (gateway, *services)]
        for one in stopping:
            one.wait()
        gateway.database.engine.dispose()


class Account:
    """Somebody with an account of their own, who asks this gateway or another one."""

    def __init__(self, gateway: ServedGateway, role: Any = "user", quota_bytes: int | None = None) -> None:
        self.gateway: GatewayProcess = gateway
        login = f"user-{uuid.uuid4().hex[:10]}"
        user = UserRow(  # the services hash passwords at a price that nobody here needs to pay
            login=login,
            login_key=login,
            name="",
            password_hash="",
            role=role,
            active=True,
            quota_bytes=quota_bytes,
            token_version=0,
            created_at=now(),
            updated_at=now(),
        )
        self.id: int = gateway.database.write(lambda session: _inserted(session, user))
        self.headers = bearer(self.id, role)

    def ask(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        headers = {**self.headers, **kwargs.pop("headers", {})}
        at: GatewayProcess = kwargs.pop("at", self.gateway)
        return at.request(method, path, headers=headers, **kwargs)

    def save(self, content: bytes, name: str = "a.txt", **kwargs: Any) -> dict[str, Any]:
        """A new file; it must work."""
        answer = self.ask("POST", f"/files?name={name}", data=content, **kwargs)
        assert answer.status_code == 201, answer.text
        file: dict[str, Any] = answer.json()
        return file

    def head_of_request(self, line: str, *headers: str) -> bytes:
        """The beginning of a request that is sent by hand, without the empty line that ends it."""
        auth = self.headers["Authorization"]
        return "\r\n".join([f"{line} HTTP/1.1", "Host: x", f"Authorization: {auth}", *headers, ""]).encode()

    def files(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.ask("GET", "/files?limit=1000").json()["items"]
        return items


def _inserted(session: Session, user: UserRow) -> int:
    session.add(user)
    session.flush()
    return user.id
