"""Requests, packets and calls that hypothesis makes up, at the real edges of a running system."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import hypothesis
import kombu
import requests
from hypothesis import strategies as st

from docsave_services.runtime.programs import SERVICES
from tests.faults.attack import Attack
from tests.faults.catalogue.events import RPC_EXCHANGE
from tests.faults.catalogue.fault import Fault, Place
from tests.support.notifier import RawWebSocket

DOCUMENTED = {200, 201, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 410, 411, 412, 413, 414, 415, 416, 422, 428,
              429, 431, 503}  # fmt: skip
"""What docsave may answer to anything at all."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.sampled_from(["name", "folder", "labels", "login", "password", "id", "q", ""]) | TEXT, JSON)
TARGETS = [
    "/files",
    "/users",
    "/users/me",
    "/login",
    "/api-keys",
    "/webhooks",
    "/changes",
    "/token/refresh",
    "/uploads",
]
RANGES = st.from_regex(r"bytes ?= ?-?[0-9]{0,25}-?[0-9]{0,25}(, ?[0-9]*-[0-9]*){0,3}", fullmatch=True) | TEXT
LINES = st.sampled_from(
    [b"--XX", b"--XX--", b"\r\n", b"\n", b'Content-Disposition: form-data; name="file"; filename="', b'"', b": ", b"\0",
     b"Content-Type: text/plain", b"Content-Disposition: form-data; name=file; filename*=UTF-8''a%ff", b"x" * 5000]
) | st.binary(max_size=40)  # fmt: skip
PACKETS = st.sampled_from(["0", "1", "2probe", "3", "40", "40/other,", "41", '42["User_connect"]', "451-", "6", "4"])


class Fuzz(Fault):
    """Made up requests, packets and calls; none may end a process, be answered 500 or leave a trace."""

    EXAMPLES = 150

    def __init__(self, name: str, kinds: dict[str, tuple[Any, Callable[[Place, Attack, Any], str | None]]]) -> None:
        super().__init__(f"fuzz-{name}")
        self._kinds = kinds
        self.examples = self.EXAMPLES

    def inject(self, place: Place) -> None:
        """Done in ``look``, which knows the people."""

    def look(self, place: Place, attack: Attack) -> list[str]:
        system = place.target.system
        before = {name: system.pid_of(name) for name in SERVICES}
        found = [
            problem
            for kind, (strategy, tried) in self._kinds.items()
            for problem in self._try(kind, strategy, lambda value, tried=tried: tried(place, attack, value), place)
        ]
        ended = [name for name, pid in before.items() if system.pid_of(name) != pid]
        return found + [f"{name} ended under fuzzing" for name in ended]

    def _try(self, kind: str, strategy: Any, tried: Callable[[Any], str | None], place: Place) -> list[str]:
        def example(value: Any) -> None:
            problem = tried(value)
            assert problem is None, f"{kind}: {problem} for {value!r}"[:600]

        settings = hypothesis.settings(
            max_examples=self.examples,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=(hypothesis.Phase.generate,),
        )
        run = hypothesis.seed(place.rng.randrange(2**32))(settings(hypothesis.given(strategy)(example)))
        try:
            run()
        except AssertionError as exc:
            return [str(exc)]
        return []


def _status(answer: requests.Response) -> str | None:
    return None if answer.status_code in DOCUMENTED else f"answered {answer.status_code} {answer.text[:200]}"


def _json(place: Place, attack: Attack, value: tuple[str, str, Any]) -> str | None:
    method, path, body = value
    person = attack.people[0]
    return _status(
        requests.request(
            method,
            person.base_url + path,
            data=json.dumps(body),
            headers={**person.headers, "Content-Type": "application/json"},
            timeout=20,
        )
    )


def _name(place: Place, attack: Attack, name: str) -> str | None:
    """A name is refused or kept exactly; what is kept goes again."""
    person, url = attack.people[0], attack.people[0].base_url
    made = requests.post(f"{url}/files?name={quote(name, safe='')}", data=b"", headers=person.headers, timeout=20)
    if made.status_code != 201:
        return _status(made)
    # Nobody wrote it into the diary: what it does is told to the checker as one upload and one deletion.
    file = made.json()
    _told(attack, "upload", None, name, file)
    if file["name"] != name:
        return f"kept as {file['name']!r}"
    content = requests.get(f"{url}/files/{file['id']}/content", headers=person.headers, timeout=20)
    gone = requests.delete(f"{url}/files/{file['id']}", headers=person.headers, timeout=20)
    if gone.status_code == 204:
        _told(attack, "delete", file["id"], None, {})
    return _status(content) or _status(gone)


def _told(attack: Attack, act: str, file_id: int | None, name: str | None, answer: dict[str, Any]) -> None:
    from tests.faults.diary import Outcome, Request

    request = Request(act, attack.people[0].id, file_id, name, answer.get("sha256"), answer.get("size"))
    request.ended, request.outcome, request.answer = time.monotonic(), Outcome.ACK, answer
    request.began = request.ended  # it is not compared by time: nothing else begins after it ended
    attack.diary.requests.append(request)


def _range(place: Place, attack: Attack, value: str) -> str | None:
    person = attack.people[0]
    files = person.get("/files", limit=1).json()["items"]
    if not files or not value.isascii() or not value.isprintable():
        return None
    headers = {**person.headers, "Range": value.strip()}
    return _status(requests.get(f"{person.base_url}/files/{files[0]['id']}/content", headers=headers, timeout=20))


def _multipart(place: Place, attack: Attack, pieces: list[bytes]) -> str | None:
    """What is no whole form is refused; a whole one is unlikely enough, and its name never allowed."""
    person = attack.people[0]
    headers = {**person.headers, "Content-Type": "multipart/form-data; boundary=XX"}
    url = f"{person.base_url}/files?name=.."
    answer = requests.post(url, data=b"\r\n".join(pieces), headers=headers, timeout=20)
    return "accepted" if answer.status_code == 201 else _status(answer)


def _packets(place: Place, attack: Attack, packets: list[str | bytes]) -> str | None:
    raw = RawWebSocket(urlsplit(place.target.system.socket_url).port or 0)
    with contextlib.suppress(OSError):  # it hung up, as it may
        for packet in packets:
            raw.send(packet)
    raw.close()
    return None


def _calls(place: Place, attack: Attack, value: tuple[str, Any]) -> str | None:
    method, body = value
    with kombu.Connection(place.target.system.amqp_uri) as connection, connection.channel() as channel:
        kombu.Producer(channel).publish(
            json.dumps(body), exchange=RPC_EXCHANGE, routing_key=method, content_type="application/json",
            content_encoding="utf-8", reply_to="nobody", correlation_id="x",
        )  # fmt: skip
    return None


# Calls that change nothing whatever their arguments are: the others would do what they are told.
READING = ["files.get", "files.list", "files.changes", "backup.versions", "backup.status", "users.get", "users.list"]

FAULTS: list[Fault] = [
    Fuzz(
        "http",
        {
            "json": (
                st.tuples(st.sampled_from(["PATCH", "PUT", "DELETE"]), st.sampled_from(TARGETS), JSON | FIELDS),
                _json,
            ),
            "name": (TEXT | st.from_regex(r"[./\\\u202e\u2066 ]{1,6}[a-z]{0,3}", fullmatch=True), _name),
            "range": (RANGES, _range),
            "multipart": (st.lists(LINES, max_size=12), _multipart),
        },
    ),
    Fuzz("sockets", {"packets": (st.lists(PACKETS | TEXT | st.binary(max_size=50), max_size=6), _packets)}),
    Fuzz(
        "calls",
        {
            "calls": (
                st.tuples(
                    st.sampled_from(READING), JSON | st.fixed_dictionaries({"args": JSON, "kwargs": JSON | FIELDS})
                ),
                _calls,
            )
        },
    ),
]
