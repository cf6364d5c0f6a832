"""A user with very many files: lists, searches and uploads should cost what they cost with few."""

from __future__ import annotations

import json
import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from nameko.standalone.rpc import ServiceRpcProxy

from bench import wire
from bench.copies import behind
from bench.programs import Server, docsave
from bench.rounds import SECONDS, Row, at_least, in_turn, median, ratio
from bench.small import LISTED, upload
from docsave_services.contracts import FILES
from docsave_services.storage import BlobStore
from tests.support.system import System
from tests.support.waiting import wait_until

FEW = 100
MANY = int(os.environ.get("MANY_FILES", "100000"))
AT_A_TIME = 1000

_REQUESTS = {
    "list": "/files?limit=100",
    "search for what the oldest have": "/files?limit=100&q=report-000",
    "search for what the newest ten have": "/files?limit=100&q=report-{:05}",
}
"""``{}`` is what the last ten names have in common. The list begins with the oldest."""

CATCH_UP_SECONDS = 1800.0


def many_files(system: System) -> list[Row]:
    """Two users in turn, one with few files and one with many."""
    fill(system, docsave(system, "few"), FEW)
    fill(system, docsave(system, "many"), MANY)
    wait_until(lambda: behind(system) == 0, CATCH_UP_SECONDS, interval=2)
    few, many = docsave(system, "few"), docsave(system, "many")
    rows = []
    for name, last in _REQUESTS.items():
        paths = [(server, last.format(count // 10 - 1)) for server, count in ((many, MANY), (few, FEW))]
        rows.append(_row(name, in_turn(*(partial(_rate, *path) for path in paths))))
    rates = in_turn(*(partial(_uploads, server) for server in (many, few)))
    return [*rows, _row("uploads", rates)]


def fill(system: System, server: Server, count: int) -> None:
    """Rows for so many files of the same content, through the files service."""
    staged = BlobStore(system.data_dir / "blobs").stage()
    staged.write(b"the same in all files")
    key = staged.commit().key
    user_id = _user_of(server)
    with ServiceRpcProxy(FILES, {"AMQP_URI": system.amqp_uri}, timeout=60) as files:
        for start in range(0, count, AT_A_TIME):
            numbers = range(start, min(start + AT_A_TIME, count))
            changes = [_change(user_id, f"report-{number:06}.txt", key) for number in numbers]
            assert all(outcome["ok"] for outcome in files.apply(changes=changes))


def fill_monolith(directory: Path, server: Server) -> None:
    """As many rows there as docsave's list has. Its table is made with the first request."""
    wire.once(server.port, wire.request("GET", "/files?limit=1", server.token))
    row = (1, "a" * 64, 21, "a" * 64, 1, "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z")
    sql = (
        "INSERT INTO file (user_id, path, size, sha256, version, created_at, updated_at, name) VALUES (?,?,?,?,?,?,?,?)"
    )
    with sqlite3.connect(directory / "data" / "files.sqlite3") as connection:
        connection.executemany(sql, [(*row, f"report-{number:06}.txt") for number in range(LISTED)])


def _change(user_id: int, name: str, key: str) -> dict[str, Any]:
    return {"op": "create", "by": user_id, "user_id": user_id, "name": name, "path": key}


def _user_of(server: Server) -> int:
    return int(json.loads(wire.once(server.port, wire.request("GET", "/users/me", server.token)))["id"])


def _rate(server: Server, path: str) -> float:
    get = wire.request("GET", path, server.token)
    return wire.load(server.port, 8, SECONDS, lambda: get).rate


def _uploads(server: Server) -> float:
    return wire.load(server.port, 8, SECONDS, partial(upload, server)).rate


def _row(name: str, rates: list[list[float]]) -> Row:
    detail = f"{median(rates[0])} : {median(rates[1])} a second"
    return at_least(f"{name} with {MANY:,} files, of the rate with {FEW}", 0.8, ratio(*rates), detail)
