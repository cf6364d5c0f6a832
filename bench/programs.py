"""The programs that are measured: docsave as ``make run`` starts it, and those beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jwt
import requests

from bench import monolith
from docsave_services.runtime.ports import LOOPBACK, free_ports
from tests.support.programs import ROOT, Program
from tests.support.system import System
from tests.support.waiting import wait_until

PASSWORD = "correct horse battery 9"
START_SECONDS = 60.0
TRIES = 20


@dataclass(slots=True)
class Server:
    """Something that speaks HTTP: where, with which token, and the processes whose memory counts."""

    name: str
    port: int
    token: str
    pids: list[int]


SERVICES = ("gateway", "users", "files", "backup", "notifier", "webhooks")


def docsave(system: System, login: str = "bench") -> Server:
    """The running system as one user sees it, who is made when there is none. The token is good for 15 minutes."""
    pids = [pid for pid, name in system.processes().items() if name in SERVICES]
    return Server("docsave", int(system.base_url.rpartition(":")[2]), new_user(system, login), pids)


def new_user(system: System, login: str) -> str:
    """An account, and a token of it."""
    _post(f"{system.base_url}/users", {"login": login, "password": PASSWORD}, allowed=(201, 409))
    return log_in(system, login, PASSWORD)


def log_in(system: System, login: str, password: str) -> str:
    """A token."""
    answer = _post(f"{system.base_url}/login", {"login": login, "password": password}, allowed=(200,))
    return str(answer.json()["access_token"])


def _post(url: str, body: dict[str, str], allowed: tuple[int, ...]) -> requests.Response:
    """Tried again while the system is too busy for it."""
    for _ in range(TRIES):
        answer = requests.post(url, json=body, timeout=30)
        if answer.status_code in allowed:
            return answer
        if answer.status_code != 503:
            break
        time.sleep(1)
    raise RuntimeError(f"{url}: {answer.status_code} {answer.text[:300]}")


@contextlib.contextmanager
def running_monolith(directory: Path) -> Iterator[Server]:
    """The plain monolith, one uvicorn process."""
    directory.mkdir(parents=True)
    (port,) = free_ports(1)
    env = {"BENCH_MONOLITH_DIR": str(directory / "data")}
    with program([sys.executable, "-m", "bench.monolith", str(port)], directory / "log", port, env) as running:
        claims = {"sub": "1", "exp": int(time.time()) + 86400}
        token = jwt.encode(claims, monolith.SECRET, algorithm="HS256")
        yield Server("monolith", port, token, [running.process.pid])


_NGINX = """
daemon off; pid {directory}/pid; error_log {directory}/error.log; {user} worker_processes 2;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; client_max_body_size 0; keepalive_requests 1000000;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/t1; fastcgi_temp_path {directory}/t2;
    uwsgi_temp_path {directory}/t3; scgi_temp_path {directory}/t4;
    server {{ listen 127.0.0.1:{port}; location / {{ root {directory}/files; dav_methods PUT DELETE; }} }}
}}
"""


@contextlib.contextmanager
def running_nginx(directory: Path) -> Iterator[Server]:
    """nginx with WebDAV: near what the machine can do. It knows no user, takes no hash and syncs nothing."""
    (directory / "files").mkdir(parents=True)
    (port,) = free_ports(1)
    user = "user root;" if os.geteuid() == 0 else ""
    (directory / "conf").write_text(_NGINX.format(directory=directory, port=port, user=user))
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert found is not None, "nginx is not installed"
    with program([found, "-c", str(directory / "conf")], directory / "log", port) as running:
        yield Server("nginx", port, "", [running.process.pid])


@contextlib.contextmanager
def program(command: list[str], log: Path, port: int, env: dict[str, str] | None = None) -> Iterator[Program]:
    """A program that listens on ``port``, ended with the block."""
    running = Program(command, log, {"PYTHONPATH": str(ROOT), **(env or {})})
    try:
        wait_until(lambda: _listens(port), START_SECONDS)
        yield running
    finally:
        running.stop()


def with_children(pid: int) -> list[int]:
    """A process and those it started: a program on a leash is one of them."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def resident_kilobytes(pid: int, children: bool = False) -> int:
    """What a process holds in memory, with its ``children`` where it only starts one."""
    pids = with_children(pid) if children else [pid]
    texts = [Path(f"/proc/{each}/status").read_text() for each in pids]
    return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in texts)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False
