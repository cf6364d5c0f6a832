"""HTTP/1.1 on one connection, stricter than eventlet's: what a proxy and we could read differently is refused.

Eventlet answers some requests by itself, in plain text; here each gets a problem with a code (RFC 9112 says which).
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import eventlet
from eventlet.wsgi import STATE_REQUEST, HttpProtocol

from docsave_services.errors import BadRequest, BodyTimeout, DocsaveError, HeadersTooLarge, UriTooLong
from docsave_services.log import get_logger
from gateway_http.body import RequestBody
from gateway_http.limits import (
    HEADER_BYTES_MAX,
    HEADER_SECONDS,
    KEEPALIVE_SECONDS,
    LINGER_BYTES,
    LINGER_SECONDS,
    READ_BYTES,
    SOCKET_TIMEOUT_SECONDS,
    URL_BYTES_MAX,
)
from gateway_http.problem import closing_answer
from gateway_http.request_id import request_id_from

_log = get_logger(__name__)

CLOSE_CONNECTION_KEY = "docsave.close_connection"
"""In the WSGI environment: a function that makes this answer the connection's last."""

_REQUEST_LINE_BYTES_MAX = URL_BYTES_MAX + 64
_DIGITS = re.compile(r"[0-9]{1,18}")
_METHOD = re.compile(r"[A-Za-z!#$%&'*+.^_`|~-]{1,32}")
_HEADER_LINE = re.compile(rb"(?:[A-Za-z0-9!#$%&'*+.^_`|~-]+:[^\x00-\x08\x0a-\x1f\x7f]*)?\r?\n")
"""One field or the empty line. The standard library takes a folded line as a part of the one above, and what follows
a line that is no header for a body: both hide a Content-Length from one reader and show it to another."""


_ABSOLUTE_FORM = re.compile(r"^https?://[^/?#]*/?", re.IGNORECASE)
"""``GET http://host/path``, as to a proxy; a server must understand it too (RFC 9112, section 3.2.2)."""


class _HeaderLines:
    """The connection's reader while the headers pass: all of them together have ``HEADER_BYTES_MAX``."""

    def __init__(self, rfile: Any) -> None:
        self._rfile = rfile
        self._left = HEADER_BYTES_MAX

    def readline(self, _size: int = -1) -> bytes:
        line: bytes = self._rfile.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise HeadersTooLarge
        if line and not _HEADER_LINE.fullmatch(line):
            raise BadRequest("A header line cannot be read")
        return line


class StrictProtocol(HttpProtocol):
    """One connection: requests one after the other, each with its answer."""

    command: str | None
    path: str
    request_version: str
    headers: Any
    rfile: Any
    linger = False

    def handle_one_request(self) -> None:
        self.headers, self.command, self.path = {}, None, ""
        started = time.monotonic()
        try:
            if not self._read_head():
                self.close_connection = True
                return
        except DocsaveError as exc:
            self._refuse(exc, started)
            return
        self.environ = self._environ()
        self.application = self.server.app
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            self.handle_one_response()
        self.linger = self.linger or not self.environ["eventlet.input"].finished

    def _read_head(self) -> bool:
        """The request line and the headers; False when the client sent nothing more."""
        self.connection.settimeout(KEEPALIVE_SECONDS)
        try:
            if not self.rfile.peek(1):
                return False
        except (OSError, ValueError):
            return False  # silent for too long, reset, or closed by our shutdown
        self.conn_state[2] = STATE_REQUEST
        self.connection.settimeout(SOCKET_TIMEOUT_SECONDS)
        with eventlet.Timeout(HEADER_SECONDS, BodyTimeout("The request's headers came too slowly")):
            try:
                return self._parse_head()
            except TimeoutError as exc:
                raise BodyTimeout("The request's headers came too slowly") from exc
            except OSError:
                return False

    def _parse_head(self) -> bool:
        self.raw_requestline = self.rfile.readline(_REQUEST_LINE_BYTES_MAX + 1)
        if self.raw_requestline in (b"\r\n", b"\n"):  # RFC 9112, section 2.2: one empty line is ignored
            self.raw_requestline = self.rfile.readline(_REQUEST_LINE_BYTES_MAX + 1)
        if not self.raw_requestline:
            return False
        if len(self.raw_requestline) > _REQUEST_LINE_BYTES_MAX:
            raise UriTooLong
        if not self.raw_requestline.endswith(b"\n"):
            return False
        original = self.rfile
        self.rfile = _HeaderLines(original)
        try:
            if not self.parse_request():
                return False
        finally:
            self.rfile = original
        self._check_request_line()
        self.path = _ABSOLUTE_FORM.sub("/", self.path, count=1)
        self._check_host()
        self._check_framing()
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library finds wrong with a request."""
        raise HeadersTooLarge if code == 431 else BadRequest("The request line cannot be read")

    def _check_request_line(self) -> None:
        if len(self.path) > URL_BYTES_MAX:
            raise UriTooLong
        if self.request_version not in ("HTTP/1.0", "HTTP/1.1") or not _METHOD.fullmatch(self.command or ""):
            raise BadRequest("The request line cannot be read")

    def _check_host(self) -> None:
        hosts = self.headers.get_all("host", [])
        if len(hosts) > 1 or (not hosts and self.request_version == "HTTP/1.1"):
            raise BadRequest("Send exactly one Host header")

    def _check_framing(self) -> None:
        lengths = self.headers.get_all("content-length", [])
        codings = self.headers.get_all("transfer-encoding", [])
        if len(lengths) > 1 or any(not _DIGITS.fullmatch(value.strip(" \t")) for value in lengths):
            raise BadRequest("Content-Length must be one whole number")
        if codings and lengths:
            raise BadRequest("Content-Length and Transfer-Encoding exclude each other")
        if codings and (len(codings) > 1 or codings[0].strip(" \t").lower() != "chunked"):
            raise BadRequest("The only transfer coding understood is chunked")
        if codings and self.request_version == "HTTP/1.0":
            raise BadRequest("HTTP/1.0 has no transfer codings")

    def _environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = self.get_environ()
        length = self.headers.get("content-length")
        body = RequestBody(environ["eventlet.input"], None if length is None else int(length))
        environ["wsgi.input"] = environ["eventlet.input"] = body
        environ["CONTENT_TYPE"] = self.headers.get("content-type", "")  # eventlet says text/plain when there is none
        environ[CLOSE_CONNECTION_KEY] = self._close_after_answer
        return environ

    def _close_after_answer(self) -> None:
        self.close_connection = True

    def _refuse(self, error: DocsaveError, started: float) -> None:
        """Answer a request that never reaches the application, and close: its end cannot be trusted."""
        self.close_connection = True
        self.linger = True
        request_id = request_id_from(self.headers.get("x-request-id"))
        answer = closing_answer(error, request_id, with_body=self.command != "HEAD")
        with contextlib.suppress(OSError):  # nobody is there to read it
            self.wfile.write(answer)
            self.wfile.flush()
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        _log.info(
            "request",
            method=self.command,
            path=self.path.partition("?")[0],
            status=error.status,
            code=error.code,
            bytes=len(answer),
            milliseconds=milliseconds,
            request_id=request_id,
        )

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            if self.linger:
                self._throw_away_rest()
            super().finish()
        self.connection.close()

    def _throw_away_rest(self) -> None:
        """Let the client read the answer before the connection dies under it."""
        self.wfile.flush()
        self.connection.shutdown(1)  # SHUT_WR
        self.connection.settimeout(LINGER_SECONDS)
        left = LINGER_BYTES
        with eventlet.Timeout(LINGER_SECONDS, False):
            while left > 0 and (piece := self.connection.recv(READ_BYTES)):
                left -= len(piece)
