"""Notifications: how soon one is heard, how fast many are, and what a socket takes that only waits."""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import kombu
import requests

from bench import wire
from bench.listeners import Listeners
from bench.programs import PASSWORD, Server, log_in, new_user, program, resident_kilobytes
from bench.rounds import Row, at_least, at_most, in_turn, median, p99, ratio
from bench.small import upload
from docsave_services.runtime.ports import free_ports
from tests.support.programs import ROOT
from tests.support.system import System

SOCKETS = 3000
OF_ONE_USER = 150
EVENTS = 20
IDLE_UPLOADS = 100
PAUSE_SECONDS = 0.05
_numbers = itertools.count()


def notifications(system: System, ours: Server, directory: Path) -> list[Row]:
    """On an idle system but for what is measured."""
    rows = _delay(system, ours)
    accounts = [_administrator(system, f"listener{number}") for number in range(SOCKETS // OF_ONE_USER)]
    tokens = [token for token in accounts for _ in range(OF_ONE_USER)]
    before = resident_kilobytes(system.pid_of("notifier"))
    with contextlib.ExitStack() as stack:
        listeners = Listeners(int(system.socket_url.rpartition(":")[2]), tokens, "Admin_connect")
        stack.callback(listeners.close)
        size = (resident_kilobytes(system.pid_of("notifier")) - before) / SOCKETS
        crowds = [_Crowd(listeners, partial(_rename, system, accounts[0], _some_files(system, accounts[0])), size)]
        for name in ("node", "asyncio"):
            crowds.append(stack.enter_context(_rival(name, system, directory)))
        rows.append(at_most("memory of an idle socket", 60, size, _sizes(crowds), "KB"))
        last = in_turn(*(partial(crowd.last_of, 1) for crowd in crowds))
        each = " : ".join(map(median, last))
        metric = "one event to 3,000 sockets, the last receiver, of node's time"
        rows.append(at_most(metric, 2, ratio(last[0], last[1]), f"docsave : node : asyncio {each} ms"))
        rates = in_turn(*(crowd.rate for crowd in crowds))
        each = " : ".join(map(median, rates))
        rows.append(at_least("deliveries a second, of node's", 0.8, ratio(rates[0], rates[1]), f"as above {each}"))
        rows.append(at_least("deliveries a second, of asyncio's", 5, ratio(rates[0], rates[2]), "the same"))
    return rows


class _Crowd:
    """3,000 sockets on one server, and what makes events there."""

    def __init__(self, listeners: Listeners, cause: Callable[[int], float], socket_kilobytes: float) -> None:
        self._listeners = listeners
        self._cause = cause
        self.socket_kilobytes = socket_kilobytes

    def last_of(self, events: int) -> float:
        """Milliseconds from the cause until the last socket has heard so many events."""
        self._listeners.expect(events * SOCKETS)
        began = self._cause(events)
        return (max(self._listeners.moments()[0]) - began) * 1000

    def rate(self) -> float:
        """Deliveries a second of a burst."""
        return EVENTS * SOCKETS / self.last_of(EVENTS) * 1000


def _sizes(crowds: list[_Crowd]) -> str:
    return "docsave : node : asyncio " + " : ".join(f"{crowd.socket_kilobytes:.0f}" for crowd in crowds)


def _delay(system: System, ours: Server) -> list[Row]:
    """From the answer to an upload until its one listener hears of it, beside 3,000 that hear of nothing."""
    others = [new_user(system, f"idle{number}") for number in range(SOCKETS // OF_ONE_USER)]
    port = int(system.socket_url.rpartition(":")[2])
    crowd = Listeners(port, [token for token in others for _ in range(OF_ONE_USER)][: SOCKETS - 1])
    listener = Listeners(port, [ours.token])
    took = []
    try:
        for _ in range(IDLE_UPLOADS):
            listener.expect(1)
            wire.once(ours.port, upload(ours))
            answered = time.monotonic()
            took.append((listener.moments()[0][0] - answered) * 1000)
            time.sleep(PAUSE_SECONDS)
    finally:
        listener.close()
        crowd.close()
    count = f"{IDLE_UPLOADS} uploads"
    return [
        at_most("from an upload's answer to its notification, median", 2, statistics.median(took), count, "ms"),
        at_most("the same, 99 of 100", 5, p99(took), count, "ms"),
    ]


def _administrator(system: System, login: str) -> str:
    new_user(system, login)
    admin = {"Authorization": f"Bearer {log_in(system, system.admin_login, system.admin_password)}"}
    users = requests.get(f"{system.base_url}/users?limit=1000", headers=admin, timeout=30).json()["items"]
    (user_id,) = [user["id"] for user in users if user["login"] == login]
    answer = requests.patch(f"{system.base_url}/users/{user_id}", json={"role": "admin"}, headers=admin, timeout=30)
    answer.raise_for_status()
    return log_in(system, login, PASSWORD)


def _some_files(system: System, token: str) -> list[int]:
    server = Server("docsave", int(system.base_url.rpartition(":")[2]), token, [])
    return [int(json.loads(wire.once(server.port, upload(server)))["id"]) for _ in range(EVENTS)]


def _rename(system: System, token: str, file_ids: list[int], events: int) -> float:
    """So many changes in one transaction; when its answer came."""
    number = next(_numbers)
    wanted = [{"op": "rename", "id": file_id, "name": f"name {number}"} for file_id in file_ids[:events]]
    answer = requests.post(
        f"{system.base_url}/batch",
        json={"operations": wanted},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    came = time.monotonic()
    if any(result["status"] != 200 for result in answer.json()["results"]):
        raise RuntimeError(answer.text[:300])
    return came


@contextlib.contextmanager
def _rival(name: str, system: System, directory: Path) -> Iterator[_Crowd]:
    """Another Socket.IO server on the same broker, with as many sockets."""
    (port,) = free_ports(1)
    exchange = f"bench-{name}"
    given = [str(port), system.amqp_uri, exchange]
    here = ROOT / "bench"
    commands = {
        "node": ["node", str(here / "rival_socketio.mjs"), *given],
        "asyncio": [sys.executable, "-m", "bench.rival_asyncio", *given],
    }
    with program(commands[name], directory / f"{name}.log", port) as running:
        before = resident_kilobytes(running.process.pid, children=True)
        listeners = Listeners(port, ["-"] * SOCKETS)
        try:
            size = (resident_kilobytes(running.process.pid, children=True) - before) / SOCKETS
            with kombu.Connection(system.amqp_uri, transport_options={"confirm_publish": True}) as connection:
                yield _Crowd(listeners, partial(_publish, connection.Producer(), exchange), size)
        finally:
            listeners.close()


def _publish(producer: Any, exchange: str, events: int) -> float:
    """So many events of the size of ours; when the broker had confirmed the last."""
    event = {
        "event_id": 1,
        "type": "File_create",
        "id": 1,
        "user_id": 1,
        "name": "a.bin",
        "path": "ab/cd/" + "a" * 64,
        "size": 20000,
        "media_type": "application/octet-stream",
        "sha256": "a" * 64,
        "version": 1,
        "at": "2026-11-24T12:00:00.000000Z",
        "by": 1,
        "folder": "",
        "labels": {},
        "permanent": False,
        "cursor": "b" * 36 + ":1",
    }
    for _ in range(events):
        producer.publish(event, exchange=exchange, routing_key="", serializer="json", delivery_mode=1)
    return time.monotonic()
