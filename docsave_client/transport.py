"""Requests with tries that end, a session that renews itself, and the server's errors as exceptions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter

from docsave_client.backoff import Backoff
from docsave_client.errors import ClientError, NotReachable, Refused, StoppedByCaller, refusal

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""The longest silence of a server that is still there: the gateway's own limit is shorter."""

RETRY_AFTER_MAX_SECONDS = 60.0
"""A server that wants a longer pause than this is not waited for."""

SEND_BYTES = 256 * 1024

_TRY_AGAIN = (408, 429, 502, 503, 504)
_NOTHING_HAPPENED = (408, 429)
_IN_PROGRESS = "in_progress"
"""The try before this one is still under way on the server."""


class Credential(Protocol):
    """Who asks."""

    def bearer(self) -> str:
        """The token or key to send."""

    def renew(self, spent: str) -> bool:
        """The server refused ``spent``; whether there is another one now."""


class Body(Protocol):
    """A body that is read while it is sent: ``len`` in bytes."""

    len: int

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""

    def close(self) -> None:
        """No more are wanted."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``repeatable``: doing it twice does no more than doing it once, so that it may be sent again when
    the outcome is unknown. ``body`` makes the body anew for each try."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    json: Any = None
    body: Callable[[], Body] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    stream: bool = False
    answer_seconds: float = ANSWER_SECONDS


class Transport:
    """The connection to one gateway. ``stop``, once set, ends pauses between tries."""

    def __init__(self, url: str, backoff: Backoff | None = None, stop: threading.Event | None = None) -> None:
        self.url = url.rstrip("/")
        self.backoff = backoff or Backoff()
        self.stop = stop or threading.Event()
        self.credential: Credential | None = None
        self.http = requests.Session()
        self.http.auth = _as_it_is  # or requests would put a password of ~/.netrc in place of our header
        for scheme in ("http://", "https://"):
            self.http.mount(scheme, _Adapter())

    def send(self, call: Call) -> requests.Response:
        """The answer, when it is no error. Raises ``Refused`` and its kinds, or ``NotReachable``."""
        pauses = self.backoff.pauses()
        may_renew = True
        while True:
            token = None if self.credential is None else self.credential.bearer()
            try:
                return self._once(call, token)
            except Refused as exc:
                if exc.status == 401 and may_renew and token and self.credential and self.credential.renew(token):
                    may_renew = False
                    continue
                if exc.status not in _TRY_AGAIN and exc.code != _IN_PROGRESS:
                    raise
                problem: Exception = exc
                changed_nothing = exc.status in _NOTHING_HAPPENED
            except requests.RequestException as exc:
                problem = exc
                changed_nothing = _never_left(exc)
            self._pause_before_next(problem, pauses, call.repeatable or changed_nothing)

    def json(self, call: Call) -> Any:
        """The JSON of the answer."""
        try:
            return self.send(call).json()
        except requests.exceptions.JSONDecodeError as exc:
            raise ClientError(f"{self.url} does not answer as docsave does") from exc

    def wait(self, seconds: float) -> None:
        """Pause; ``StoppedByCaller`` when the caller does not want to wait any more."""
        if self.stop.wait(seconds):
            raise StoppedByCaller("stopped")

    def _pause_before_next(self, problem: Exception, pauses: Iterator[float], may_repeat: bool) -> None:
        pause = next(pauses, None) if may_repeat else None
        asked = (problem.retry_after or 0.0) if isinstance(problem, Refused) else 0.0
        if pause is None or asked > RETRY_AFTER_MAX_SECONDS:
            if isinstance(problem, Refused) and problem.status != 503:
                raise problem
            raise NotReachable(_describe(self.url, problem)) from problem
        self.wait(max(pause, asked))

    def _once(self, call: Call, token: str | None) -> requests.Response:
        headers = {"Accept-Encoding": "identity", **call.headers}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        body = None if call.body is None else call.body()
        try:
            response = self.http.request(
                call.method,
                self.url + call.path,
                params=list(call.query),
                json=call.json,
                data=body,
                headers=headers,
                stream=call.stream,
                timeout=(CONNECT_SECONDS, call.answer_seconds),
                allow_redirects=False,  # nobody else gets the token
            )
        finally:
            if body is not None:
                body.close()
        if response.status_code >= 300:
            with contextlib.closing(response):
                raise _problem_in(response)
        return response


class _Adapter(HTTPAdapter):
    """Sends bodies in pieces that are worth a system call."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, "blocksize": SEND_BYTES})


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _never_left(exc: requests.RequestException) -> bool:
    """Whether there was no connection, so that nothing can have happened."""
    return isinstance(exc, requests.ConnectTimeout) or "NewConnectionError" in repr(exc)


def _describe(url: str, problem: Exception) -> str:
    if isinstance(problem, Refused):
        return f"{url} cannot serve at the moment: {problem.detail}"
    kind = "does not answer in time" if isinstance(problem, requests.Timeout) else "cannot be reached"
    return f"{url} {kind}"


def _problem_in(response: requests.Response) -> Refused:
    try:
        body = response.json()
    except (requests.RequestException, ValueError):
        body = None
    if not isinstance(body, dict):
        body = {}
    after = response.headers.get("Retry-After", "")
    return refusal(
        str(body.get("code", f"http_{response.status_code}")),
        response.status_code,
        str(body.get("detail") or f"{response.url.partition('?')[0]} answered {response.status_code}"),
        body.get("errors") or (),
        response.headers.get("X-Request-Id"),
        float(after) if after.isascii() and after.isdigit() else None,
    )
