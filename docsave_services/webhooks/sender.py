"""One HTTP request to a stranger: to an address that was checked, bounded in time and size, following nothing.

A name is looked up once and the connection made to the very address that was checked, so no second look can lead
elsewhere (DNS rebinding). No proxy of the environment, no redirect, no cookie.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import eventlet
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from docsave_services.db.webhook_models import ANSWER_CHARACTERS
from docsave_services.domain.webhook_targets import Target, address_is_allowed, target_of
from docsave_services.webhooks.limits import (
    ADDRESSES_MAX,
    ANSWER_BYTES_MAX,
    CONNECT_SECONDS,
    CONNECTION_SECONDS,
    RESOLVE_SECONDS,
    TOTAL_SECONDS,
)

Resolve = Callable[[str, int], list[str]]
Pool = urllib3.HTTPConnectionPool


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended: a status with the answer's beginning, or the word for what went wrong, or both.

    ``retry_after`` is in seconds.
    """

    code: int | None
    text: str | None
    error: str | None
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver has it."""
        return self.error is None


class _Refused(Exception):
    """The request cannot be made; ``word`` says why."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, best first; for an address itself. Green: eventlet asks the name servers itself."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Line:
    """Requests to one URL, over one connection for as long as that is young. Not to be used by two at once."""

    def __init__(self, url: str, allow_private: bool, find: Resolve = resolve) -> None:
        self.url = url
        self._target = target_of(url)
        self._allow_private = allow_private
        self._find = find
        self._pool: Pool | None = None
        self._opened = 0.0

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send ``body``; never raises for what the other side does, and takes at most ``TOTAL_SECONDS``."""
        timer = eventlet.Timeout(TOTAL_SECONDS)
        try:
            return self._post(body, {"Host": self._target.authority, **headers})
        except eventlet.Timeout as exc:
            self.close()
            if exc is not timer:
                raise
            return Answer(None, None, "timeout")
        except _Refused as exc:
            self.close()
            return Answer(None, None, exc.word)
        except (HTTPError, OSError, ValueError) as exc:
            self.close()
            return Answer(None, None, _word(exc))
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close the connection, if there is one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._pool is not None and time.monotonic() - self._opened < CONNECTION_SECONDS:
            try:
                return self._exchange(self._pool, body, headers)
            except (HTTPError, OSError):
                pass  # closed by the other side while nothing was said: a new connection tells the truth
        self.close()
        return self._over_new_connection(body, headers)

    def _over_new_connection(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        addresses = self._addresses()
        for number, address in enumerate(addresses, 1):
            self._pool = _pool(self._target, address)
            self._opened = time.monotonic()
            try:
                return self._exchange(self._pool, body, headers)
            except (NewConnectionError, ConnectTimeoutError):
                self.close()
                if number == len(addresses):
                    raise
        raise _Refused("name_not_found")

    def _addresses(self) -> list[str]:
        """The addresses to connect to. One that is not allowed spoils them all: nobody needs such a name."""
        try:
            with eventlet.Timeout(RESOLVE_SECONDS, TimeoutError("no answer from the name servers")):
                found = self._find(self._target.host, self._target.port)
        except (OSError, UnicodeError) as exc:
            raise _Refused("name_not_found") from exc
        if not all(address_is_allowed(address, self._allow_private) for address in found):
            raise _Refused("address_not_allowed")
        return found[:ADDRESSES_MAX]

    def _exchange(self, pool: Pool, body: bytes, headers: Mapping[str, str]) -> Answer:
        response = pool.urlopen(
            "POST",
            self._target.path,
            body=body,
            headers=dict(headers),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
        try:
            read = _beginning(response)
        finally:
            response.close()  # its connection too, unless it came whole: then that has gone back to the pool
        return _answer(response.status, read, response.headers.get("Retry-After"))


def _beginning(response: urllib3.BaseHTTPResponse) -> bytes:
    """All of it or the first ``ANSWER_BYTES_MAX``. An answer that ends before its length raises."""
    read = b""
    while len(read) < ANSWER_BYTES_MAX and (piece := response.read(ANSWER_BYTES_MAX - len(read))):
        read += piece
    return read


def _pool(target: Target, address: str) -> Pool:
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=TOTAL_SECONDS)
    if target.scheme == "http":
        return urllib3.HTTPConnectionPool(address, target.port, timeout=timeout, maxsize=1)
    return urllib3.HTTPSConnectionPool(
        address,
        target.port,
        timeout=timeout,
        maxsize=1,
        # The certificate must be the name's, not the address's; authorities are those that the system trusts.
        server_hostname=target.host,
        assert_hostname=target.host,
        cert_reqs="CERT_REQUIRED",
    )


def _answer(status: int, read: bytes, retry_after: str | None) -> Answer:
    text = read[: 4 * ANSWER_CHARACTERS].decode("utf-8", "replace")[:ANSWER_CHARACTERS]
    text = "".join(c if c.isprintable() else " " for c in text)
    if 200 <= status < 300:
        return Answer(status, text, None)
    error = "redirect" if 300 <= status < 400 else "refused"
    return Answer(status, text, error, _seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    """What a ``Retry-After`` field asks for, in seconds from now (RFC 9110, section 10.2.3)."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _word(exc: Any) -> str:
    if isinstance(exc, SSLError):
        return "tls_failed"
    if isinstance(exc, NewConnectionError):  # a kind of the next one, says urllib3
        return "connection_failed"
    if isinstance(exc, ConnectTimeoutError):
        return "connect_timeout"
    return "answer_incomplete"
