"""A client with a diary: every request and what came of it, so that afterwards nobody has to believe the server."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support.waiting import wait_until

ANSWER_SECONDS = 20.0
"""The gateway answers within 5 s whatever is broken; a busy test machine gets four times that."""

FORBIDDEN_NAME = "../escape.txt"
"""No upload and no rename to this is ever accepted."""


class Outcome(enum.StrEnum):
    """What the client knows about a request."""

    ACK = "ACK"
    REJECT = "REJECT"
    UNKNOWN = "UNKNOWN"


@dataclass(slots=True)
class Request:
    """One request. ``doomed`` says that it must be refused; a request without an answer is ``UNKNOWN``.

    ``began`` and ``ended`` are monotonic seconds. ``sha256``, ``size`` and ``name`` are what was sent, where it was.
    """

    act: str
    user_id: int
    file_id: int | None = None
    name: str | None = None
    sha256: str | None = None
    size: int | None = None
    doomed: bool = False
    began: float = field(default_factory=time.monotonic)
    ended: float = float("inf")
    outcome: Outcome = Outcome.UNKNOWN
    status: int | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def never_left(self) -> bool:
        """Whether nobody even accepted the connection."""
        return "NewConnectionError" in self.problem


class Diary:
    """All requests of one attack, in the order in which they began."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.user_ids: set[int] = set()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.requests)

    def count(self, outcome: Outcome) -> int:
        """How many requests have that outcome, of those that reached anybody."""
        return sum(r.outcome is outcome for r in self.requests if r.ended < float("inf") and not r.never_left)

    def write(self, path: Path) -> None:
        """One JSON object a line, for whoever looks into a failed run."""
        lines = (json.dumps(dataclasses.asdict(request)) for request in self.requests)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Person:
    """An account that writes all it does into ``diary``. Contents and new names are never used twice."""

    def __init__(self, base_url: str, login: str, password: str, diary: Diary) -> None:
        self.base_url = base_url
        self.diary = diary
        self._password = {"login": login, "password": password}
        self.log_in()
        self.id: int = self.get("/users/me").json()["id"]
        diary.user_ids.add(self.id)

    def log_in(self) -> None:
        """A new token: one lives for a quarter of an hour."""
        answer = _made({200}, f"{self.base_url}/login", self._password)
        self.token: str = answer.json()["access_token"]
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **query: Any) -> requests.Response:
        """Look without leaving a trace in the diary."""
        return requests.get(self.base_url + path, params=query, headers=self.headers, timeout=ANSWER_SECONDS)

    def upload(self, session: requests.Session, content: bytes, name: str, key: str | None = None) -> Request:
        """A new document; the same again with the same ``key`` is the same document."""
        request = self._begin("upload", None, name, content, doomed=name == FORBIDDEN_NAME)
        headers = {"Idempotency-Key": key} if key else {}
        return self._send(session, request, "POST", "/files", headers, params={"name": name}, data=content)

    def replace(self, session: requests.Session, file_id: int, content: bytes, doomed: bool = False) -> Request:
        """New content for a document."""
        request = self._begin("replace", file_id, None, content, doomed)
        return self._send(session, request, "PUT", f"/files/{file_id}/content", data=content)

    def rename(self, session: requests.Session, file_id: int, name: str, doomed: bool = False) -> Request:
        """Another name for a document."""
        request = self._begin("rename", file_id, name, None, doomed or name == FORBIDDEN_NAME)
        return self._send(session, request, "PATCH", f"/files/{file_id}", json={"name": name})

    def delete(self, session: requests.Session, file_id: int, doomed: bool = False) -> Request:
        """A document goes into the trash."""
        request = self._begin("delete", file_id, None, None, doomed)
        return self._send(session, request, "DELETE", f"/files/{file_id}")

    def sign_up(self, session: requests.Session, login: str) -> Request:
        """An account for a colleague."""
        request = self._begin("sign_up", None, login, None, False)
        return self._send(session, request, "POST", "/users", json={"login": login, "password": password_of(login)})

    def _begin(self, act: str, file_id: int | None, name: str | None, content: bytes | None, doomed: bool) -> Request:
        request = Request(act, self.id, file_id, name, doomed=doomed)
        if content is not None:
            request.sha256, request.size = hashlib.sha256(content).hexdigest(), len(content)
        self.diary.requests.append(request)
        return request

    def _send(
        self,
        session: requests.Session,
        request: Request,
        method: str,
        path: str,
        extra: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Request:
        headers = {**self.headers, "X-Request-Id": uuid.uuid4().hex, **(extra or {})}
        url = self.base_url + path
        try:
            answer = session.request(method, url, headers=headers, timeout=ANSWER_SECONDS, **options)
            request.status = answer.status_code
            request.answer = answer.json() if answer.content else {}
        except (requests.RequestException, ValueError) as exc:  # ValueError: an answer that is not whole
            request.problem = repr(exc)
        else:
            request.outcome = _outcome_of(request.status)
        request.ended = time.monotonic()
        return request


def new_person(base_url: str, diary: Diary) -> Person:
    """A new account, made while nothing is broken."""
    login = f"person-{uuid.uuid4().hex[:12]}"
    body = {"login": login, "password": password_of(login)}
    _made({201, 409}, f"{base_url}/users", body)
    return Person(base_url, login, body["password"], diary)


def _made(statuses: set[int], url: str, body: dict[str, str]) -> requests.Response:
    """The answer to a preparation, asked for again where a busy machine did not come to it in time."""

    def ask() -> list[requests.Response]:
        answer = requests.post(url, json=body, timeout=ANSWER_SECONDS)
        assert answer.status_code in {503, *statuses}, answer.text
        return [answer] if answer.status_code in statuses else []  # a bare 409 counts as false

    return wait_until(ask, 60.0, 0.5)[0]


def password_of(login: str) -> str:
    """The password of the accounts made here."""
    return f"pass phrase of {login}"


def _outcome_of(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome.ACK
    return Outcome.REJECT if 400 <= status < 500 else Outcome.UNKNOWN
