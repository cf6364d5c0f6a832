"""The body of a request, taken from the socket in the pieces in which it arrives.

Eventlet's own ``Input`` answers a short body with fewer bytes and no error, waits for ever, and takes sloppy chunks.
"""

from __future__ import annotations

import re
from typing import Any

import eventlet
from eventlet.wsgi import Input

from docsave_services.errors import BadRequest, BodyTimeout, BodyTruncated, LengthRequired, TooLarge
from gateway_http.limits import CHUNK_LINE_BYTES_MAX, READ_BYTES, TRAILERS_MAX

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


class RequestBody(Input):
    """``read_some`` until it returns nothing: the framing was checked, so that is the true end of the body.

    Raises ``BodyTruncated`` when the client goes away before, ``BodyTimeout`` when it stalls for ``stall_seconds``,
    ``BadRequest`` for a malformed chunk.
    """

    stall_seconds: float | None = None

    def __init__(self, original: Input, announced: int | None) -> None:
        super().__init__(
            original.rfile,
            original.content_length,
            original.get_socket(),
            wfile=original.wfile,
            wfile_line=original.wfile_line,
            chunked_input=original.chunked_input,
        )
        self.announced = announced
        self.received = 0
        self._chunk_left = 0
        self._ended = False

    @property
    def framed(self) -> bool:
        """Whether the request says where its body ends."""
        return self.announced is not None or self.chunked_input

    @property
    def finished(self) -> bool:
        """Whether nothing of the body is left on the connection."""
        return self._ended if self.chunked_input else self.position >= (self.content_length or 0)

    def read_some(self, limit: int = READ_BYTES) -> bytes:
        """Between 1 and ``limit`` bytes as soon as some are there; nothing only at the end of the body."""
        if self.finished:
            return b""
        self._allow_to_send()
        if self.chunked_input:
            piece = self._from_chunk(limit)
        else:
            piece = self._receive(min(limit, self.content_length - self.position))
            self.position += len(piece)
        self.received += len(piece)
        return piece

    def read_all(self, most: int, seconds: float) -> bytes:
        """The whole body, at most ``most`` bytes and within ``seconds``; for bodies small enough to hold."""
        if not self.framed:
            raise LengthRequired
        if (self.announced or 0) > most:
            raise _too_large(most)
        body = bytearray()
        with eventlet.Timeout(seconds, BodyTimeout()):
            while piece := self.read_some():
                body += piece
                if len(body) > most:
                    raise _too_large(most)
        return bytes(body)

    def discard(self, buffer_size: int = READ_BYTES) -> None:
        """Eventlet throws away what the application left before it reuses the connection. Ours is closed then."""

    def _allow_to_send(self) -> None:
        """Answer ``Expect: 100-continue`` now that the body is wanted."""
        if self.should_send_hundred_continue:
            self.send_hundred_continue_response()
            self.is_hundred_continue_response_sent = True

    def _receive(self, limit: int) -> bytes:
        piece: bytes = self._guarded(self.rfile.read1, limit)
        if not piece:
            raise BodyTruncated
        return piece

    def _guarded(self, read: Any, limit: int) -> Any:
        if self.stall_seconds is not None:
            self.get_socket().settimeout(self.stall_seconds)
        try:
            return read(limit)
        except TimeoutError as exc:
            raise BodyTimeout from exc
        except (OSError, ValueError) as exc:  # reset by the client, or cut by our own shutdown
            raise BodyTruncated from exc

    def _from_chunk(self, limit: int) -> bytes:
        if self._chunk_left == 0:
            self._chunk_left = self._chunk_size()
            if self._chunk_left == 0:
                self._skip_trailers()
                self._ended = True
                return b""
        piece = self._receive(min(limit, self._chunk_left))
        self._chunk_left -= len(piece)
        if self._chunk_left == 0 and self._line() != b"\r\n":
            raise BadRequest("A chunk of the body is longer than it says")
        return piece

    def _chunk_size(self) -> int:
        match = _CHUNK_SIZE.fullmatch(self._line())
        if match is None:
            raise BadRequest("The size of a chunk cannot be read")
        return int(match[1], 16)

    def _skip_trailers(self) -> None:
        for _ in range(TRAILERS_MAX):
            if self._line() == b"\r\n":
                return
        raise BadRequest("The body has too many trailers")

    def _line(self) -> bytes:
        line: bytes = self._guarded(self.rfile.readline, CHUNK_LINE_BYTES_MAX)
        if not line:
            raise BodyTruncated
        if not line.endswith(b"\r\n"):
            if len(line) < CHUNK_LINE_BYTES_MAX and not line.endswith(b"\n"):
                raise BodyTruncated
            raise BadRequest("The body is not properly chunked")
        return line


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The body is larger than {most} bytes")
