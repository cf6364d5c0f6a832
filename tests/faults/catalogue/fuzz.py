"""Requests, packets and calls that hypothesis makes up, at the real edges of a running system."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import hypothesis
import kombu
import kombu.pools
import requests
from hypothesis import strategies as st
from nameko.standalone.rpc import ClusterRpcProxy

from docsave_services.runtime.programs import SERVICES
from tests.faults.attack import Attack
from tests.faults.catalogue.drawn import (
    CALLS,
    EVENTS,
    FIELDS,
    FORMS,
    JSON,
    PACKETS,
    QUERIES,
    RANGES,
    READ,
    TARGETS,
    TEXT,
    UNKNOWN_FIELD,
)
from tests.faults.catalogue.events import RPC_EXCHANGE
from tests.faults.catalogue.fault import Fault, Place
from tests.support.notifier import RawWebSocket

DOCUMENTED = {200, 201, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 410, 411, 412, 413, 414, 415, 416, 422, 428,
              429, 431, 503}  # fmt: skip
"""What docsave may answer to anything at all."""

ANSWER_SECONDS = 10.0


Kinds = dict[str, tuple[Any, Callable[[Place, Attack, Any], str | None]]]
"""What is drawn, and what is done with it, by name."""


class Fuzz(Fault):
    """``examples`` inputs of each kind; none may end a process, be answered 500, surprise the code or leave a trace."""

    def __init__(self, name: str, kinds: Kinds, examples: int = 150) -> None:
        super().__init__(f"fuzz-{name}")
        self._kinds = kinds
        self._examples = examples

    def inject(self, place: Place) -> None:
        """Done in ``look``, which knows the people."""

    def look(self, place: Place, attack: Attack) -> list[str]:
        system = place.target.system
        before = {name: system.pid_of(name) for name in SERVICES}
        written = len(system.output())
        found = [
            problem
            for kind, (strategy, tried) in self._kinds.items()
            for problem in self._try(kind, strategy, lambda value, tried=tried: tried(place, attack, value), place)
        ]
        _wait_idle(place)
        ended = [name for name, pid in before.items() if system.pid_of(name) != pid]
        found += [f"{name} ended under fuzzing" for name in ended]
        return found + _unexpected(system.output()[written:])

    def _try(self, kind: str, strategy: Any, tried: Callable[[Any], str | None], place: Place) -> list[str]:
        def example(value: Any) -> None:
            problem = tried(value)
            assert problem is None, f"{kind}: {problem} for {value!r}"[:600]

        settings = hypothesis.settings(
            max_examples=self._examples,
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


def _unexpected(log: str) -> list[str]:
    """Errors that nobody thought of leave a traceback in the log, whatever the client was answered."""
    _, found, rest = log.partition("Traceback (most recent call last)")
    if not found:
        return []
    lines = [line for line in rest.splitlines() if re.match(r"\w[\w.]*(Error|Exception|Exit|Timeout)\b", line)]
    return [f"a traceback in the log: {(lines or [rest])[0][:300]}"]


def _wait_idle(place: Place) -> None:
    """Until every service has done what was sent to it before: calls are taken in order."""
    with ClusterRpcProxy({"AMQP_URI": place.target.system.amqp_uri}, timeout=20) as rpc:
        for name in SERVICES:
            if name != "gateway":
                rpc[name].health()


def _json(place: Place, attack: Attack, value: tuple[tuple[str, str], Any]) -> str | None:
    (method, path), body = value
    person = attack.people[0]
    if isinstance(body, dict):
        body = {**body, **UNKNOWN_FIELD}
    return _status(
        requests.request(
            method,
            person.base_url + path,
            data=json.dumps(body),
            headers={**person.headers, "Content-Type": "application/json"},
            timeout=20,
        )
    )


def _query(place: Place, attack: Attack, value: tuple[str, dict[str, str]]) -> str | None:
    path, fields = value
    person = attack.people[0]
    return _status(requests.get(person.base_url + path, params=fields, headers=person.headers, timeout=20))


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


def _multipart(place: Place, attack: Attack, body: bytes) -> str | None:
    """The digest is that of no form: one that is whole is read to its end and then refused, too."""
    person = attack.people[0]
    headers = {**person.headers, "Content-Type": "multipart/form-data; boundary=XX", "Content-Digest": NO_DIGEST}
    answer = requests.post(f"{person.base_url}/files", data=body, headers=headers, timeout=20)
    return "accepted" if answer.status_code == 201 else _status(answer)


NO_DIGEST = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"


def _packets(place: Place, attack: Attack, packets: list[str | bytes]) -> str | None:
    """The connection is ended, or still answers: never left hanging."""
    raw = RawWebSocket(urlsplit(place.target.system.socket_url).port or 0)
    raw.sock.settimeout(ANSWER_SECONDS)
    try:
        for packet in ["40", *packets, '429["User_connect",null]']:
            raw.send(packet)
        while (answer := raw.read_text()) is not None:
            if answer.startswith("439"):
                return None if '"ok":false' in answer else f"answered {answer[:200]}"
    except TimeoutError:
        return "no answer and no end"
    except OSError:
        pass  # it hung up, as it may
    finally:
        raw.close()
    return None


def _calls(place: Place, attack: Attack, calls: list[tuple[str, Any]]) -> str | None:
    """What comes of them is seen in the log: an error that is not coded leaves a traceback there."""
    with kombu.pools.producers[kombu.Connection(place.target.system.amqp_uri)].acquire(block=True) as producer:
        for method, body in calls:
            producer.publish(
                json.dumps(body), exchange=RPC_EXCHANGE, routing_key=method, content_type="application/json",
                content_encoding="utf-8", reply_to="nobody", correlation_id="x",
            )  # fmt: skip
    return None


HTTP: Kinds = {
    "json": (st.tuples(st.sampled_from(TARGETS), JSON | FIELDS), _json),
    "query": (st.tuples(st.sampled_from(READ), QUERIES), _query),
    "name": (TEXT | st.from_regex(r"[./\\\u202e\u2066 ]{1,6}[a-z]{0,3}", fullmatch=True), _name),
    "range": (RANGES, _range),
    "multipart": (FORMS, _multipart),
}
SOCKETS: Kinds = {"packets": (st.lists(PACKETS | EVENTS | TEXT | st.binary(max_size=50), max_size=6), _packets)}
BUS: Kinds = {"calls": (CALLS, _calls)}

FAULTS: list[Fault] = [Fuzz("http", HTTP), Fuzz("sockets", SOCKETS), Fuzz("calls", BUS)]

ALL_EDGES = Fuzz("everywhere", {**HTTP, **SOCKETS, **BUS}, examples=60)
"""The three together, for those who have no time for three."""
