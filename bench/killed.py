"""Each part killed once, with -9, while people work: what answers what meanwhile, and after how long all is back.

A thread each tries all the time to log in, to save, to fetch and to list; of what was saved another one sees whether
its owner's socket hears of it, its copy is written and a webhook gets it. Services are restarted by supervisord as
always, the one process at once by this program, and so is the database's server after ``DATABASE_SECONDS``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from bench.onebox import OneProcess, running
from bench.programs import PASSWORD, new_user
from bench.rounds import Row
from docsave_services.runtime.ports import LOOPBACK
from docsave_services.runtime.programs import SERVICES
from tests.faults.listener import Listener
from tests.support.mariadb import MariaDb
from tests.support.system import System
from tests.support.waiting import wait_until

BEFORE_SECONDS = 3.0
CALM_SECONDS = 5.0
"""All was done within so long, without a failure, what was saved before included: it is back."""

LONGEST_SECONDS = 90.0
DATABASE_SECONDS = 3.0
ANSWER_SECONDS = 15.0
PAUSE_SECONDS = 0.1
LOG_IN_PAUSE_SECONDS = 0.5
USUAL_SECONDS = 2.0
"""What takes longer is told of. Much less would tell of a busy machine."""

_numbers = itertools.count()


@dataclass(slots=True)
class Tried:
    """Outcomes of one thing: when it began, when it ended, and what came."""

    outcomes: list[tuple[float, float, str]] = field(default_factory=list)

    def since(self, moment: float) -> list[tuple[float, float, str]]:
        """Those that ended after ``moment``."""
        return [each for each in list(self.outcomes) if each[1] > moment]

    def last_failure(self, moment: float) -> float:
        """When the last one that failed ended, or ``moment``."""
        return max((end for _, end, what in self.since(moment) if what), default=moment)

    def text(self, moment: float) -> str:
        """What became of it after ``moment``."""
        found = self.since(moment)
        bad = Counter(what for _, _, what in found if what)
        late = max((end - begin for begin, end, what in found if not what), default=0.0)
        said = [f"{number} x {what}" for what, number in bad.most_common()]
        if said:
            said[-1] += f" until {self.last_failure(moment) - moment:.1f} s"
        if late > USUAL_SECONDS:
            said.append(f"took up to {late:.1f} s")
        return ", ".join(said) or "goes on"


class _Hook:
    """A webhook's receiver, which remembers the files it heard of."""

    def __init__(self) -> None:
        heard = self.heard = {}  # type: dict[int, float]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.setdefault(event["id"], time.monotonic())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server.server_port}/"


class Work:
    """What people and programs do with one system, until ``stop``."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._stopped = threading.Event()
        self._token = new_user(system, "killed")
        self._user = self._get("/users/me").json()["id"]
        self.hook = _Hook()
        self._call("POST", "/webhooks", json={"url": self.hook.url, "events": ["File_create"]})
        self._first = self._save().json()["id"]
        cursor = self._get("/changes").json()["cursor"]
        self._listener = Listener(system.socket_url, "User_connect", self._token, cursor)
        self.tried = {name: Tried() for name in ("log in", "save", "fetch", "list", "heard", "copied", "delivered")}
        self._saved: dict[int, float] = {}
        loops: list[tuple[Callable[[], Any], float]] = [
            (lambda: self._try("log in", self._log_in), LOG_IN_PAUSE_SECONDS),
            (lambda: self._try("save", self._save), PAUSE_SECONDS),
            (lambda: self._try("fetch", lambda: self._get(f"/files/{self._first}/content")), PAUSE_SECONDS),
            (lambda: self._try("list", lambda: self._get("/files?limit=100")), PAUSE_SECONDS),
            (self._follow, PAUSE_SECONDS / 5),
        ]
        self._threads = [threading.Thread(target=self._loop, args=each, daemon=True) for each in loops]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all of it."""
        self._stopped.set()
        self._listener.leave()
        for thread in self._threads:
            thread.join()
        self.hook.server.shutdown()
        self.hook.server.server_close()

    def is_calm(self, moment: float) -> bool:
        """Whether all that was tried since ``moment`` has gone well for a while, and nothing saved is outstanding."""
        now = time.monotonic()
        quiet = all(now - tried.last_failure(moment) > CALM_SECONDS for tried in self.tried.values())
        fresh = all(tried.since(now - CALM_SECONDS) for tried in self.tried.values())
        return quiet and fresh

    def _loop(self, step: Callable[[], Any], pause: float) -> None:
        while not self._stopped.wait(pause):
            step()

    def _try(self, name: str, ask: Callable[[], requests.Response]) -> None:
        began = time.monotonic()
        what = ""
        try:
            answer = ask()
            if answer.status_code >= 400:
                what = f"{answer.status_code} {answer.json()['code']}"
        except requests.ConnectionError:
            what = "no connection"
        except requests.RequestException as exc:
            what = type(exc).__name__
        self.tried[name].outcomes.append((began, time.monotonic(), what))

    def _follow(self) -> None:
        """Look whether what was saved was heard of, copied and delivered."""
        heard = {event["id"] for event in list(self._listener.heard)}
        seen: dict[str, Callable[[int], bool]] = {
            "heard": heard.__contains__,
            "copied": lambda number: self._copy(number).exists(),
            "delivered": self.hook.heard.__contains__,
        }
        for name, is_there in seen.items():
            tried = self.tried[name]
            done = len(tried.outcomes)
            for number, saved in itertools.islice(list(self._saved.items()), done, None):
                if not is_there(number):
                    break  # in their order: the next ones wait with it
                tried.outcomes.append((saved, time.monotonic(), ""))

    def _copy(self, number: int) -> Path:
        return self._system.backup_dir / "history" / str(self._user) / str(number) / "v000001.json"

    def _save(self) -> requests.Response:
        content = f"{next(_numbers)} of {time.time_ns()}".encode()
        answer = self._call("POST", "/files?name=a.txt", data=content)
        if answer.status_code == 201 and hasattr(self, "_saved"):
            self._saved[answer.json()["id"]] = time.monotonic()
        return answer

    def _log_in(self) -> requests.Response:
        body = {"login": "killed", "password": PASSWORD}
        return requests.post(f"{self._system.base_url}/login", json=body, timeout=ANSWER_SECONDS)

    def _get(self, path: str) -> requests.Response:
        return self._call("GET", path)

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self._token}"}
        url = f"{self._system.base_url}{path}"
        return requests.request(method, url, headers=headers, timeout=ANSWER_SECONDS, **options)


def killed(directory: Path) -> Iterator[Row]:
    """Every part of the services, then the one process, on MariaDB."""
    server = MariaDb(directory / "mariadb")
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.install()
        server.start()
        settings = {"DOCSAVE_WEBHOOK_ALLOW_PRIVATE": "1"}
        services = System(directory / "services", {**settings, "DOCSAVE_DB_URI": server.fresh_uri()})
        with running(services):
            kills = {name: _kill_of(services, name) for name in ("gateway", "users", "files")}
            kills |= {name: _kill_of(services, name) for name in SERVICES if name not in kills}
            kills["broker"] = _kill_of(services, "broker")
            kills["database"] = lambda: _restart(server)
            yield from _trials(services, "killed of the services", kills)
        one = OneProcess(directory / "one")
        one.env |= {**settings, "DOCSAVE_DB_URI": server.fresh_uri()}
        with running(one):
            kills = {"all of it": lambda: _start_again(one), "database": lambda: _restart(server)}
            yield from _trials(one, "killed of the one process", kills)


def _kill_of(system: System, name: str) -> Callable[[], Any]:
    return lambda: system.kill(name)


def _restart(server: MariaDb) -> None:
    server.kill()
    time.sleep(DATABASE_SECONDS)
    server.start()


def _start_again(system: System) -> None:
    """What a supervisor would do, without its looking first."""
    system.signal(signal.SIGKILL)
    system.wait_ended()
    system.start()


def _trials(system: System, metric: str, kills: dict[str, Callable[[], Any]]) -> Iterator[Row]:
    for name, kill in kills.items():
        work = Work(system)
        try:
            time.sleep(BEFORE_SECONDS)
            moment = time.monotonic()
            kill()
            wait_until(lambda work=work, moment=moment: work.is_calm(moment), LONGEST_SECONDS, interval=0.1)
        finally:
            work.stop()
        system.wait_ready()
        said = "; ".join(f"{thing}: {tried.text(moment)}" for thing, tried in work.tried.items())
        yield Row(f"{metric}: {name}", "", said)
