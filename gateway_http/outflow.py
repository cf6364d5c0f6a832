"""Bytes on their way out of a file to a client: read in threads, one piece ahead of what is sent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Any

import eventlet
from werkzeug.wrappers import Response

from docsave_services.errors import BlobDamaged, BlobMissing, DocsaveError
from docsave_services.log import get_logger
from gateway_http.blob_access import in_thread
from gateway_http.measures import DAMAGED

_log = get_logger(__name__)

Pieces = Generator[bytes, None, None]


def damaged(label: str) -> DocsaveError:
    """Count and log that the content called ``label`` is missing or wrong; what the client is told of it."""
    DAMAGED.inc()
    _log.error("blob_damaged", content=label)
    return BlobDamaged()


class Outflow:
    """The pieces of a generator, each made in a thread. The first is made at once: its failure is an answer. A later
    failure breaks the connection before the end, so that the client knows that it has not got all.

    ``again`` is asked once when the first cannot be made: the pieces from where the content lies now, or None.
    ``label`` tells what is being read when it fails, for the log.
    """

    def __init__(
        self, pieces: Pieces, label: Callable[[], str], again: Callable[[], Pieces | None] = lambda: None
    ) -> None:
        self._pieces = pieces
        self._label = label
        self._reading: Any = None
        try:
            self._first = self._begin(again)
        except BaseException:
            self.close()
            raise

    def response(self, status: int, headers: dict[str, str]) -> Response:
        """An answer with these pieces as its body."""
        response = Response(self, status=status, headers=headers, direct_passthrough=True)
        response.call_on_close(self.close)
        return response

    def __iter__(self) -> Iterator[bytes]:
        piece: bytes | None = self._first
        self._first = None
        while piece is not None:
            # The next piece is read and hashed by a thread while the network takes this one.
            self._reading = eventlet.spawn(self._read)
            yield piece
            piece, self._reading = self._reading.wait(), None

    def _begin(self, again: Callable[[], Pieces | None]) -> bytes | None:
        try:
            return in_thread(next, self._pieces, None)
        except (BlobDamaged, BlobMissing) as exc:
            elsewhere = again()
            if elsewhere is None:
                raise damaged(self._label()) from exc
            self._pieces = elsewhere
            return self._read()

    def _read(self) -> bytes | None:
        try:
            return in_thread(next, self._pieces, None)
        except (BlobDamaged, BlobMissing) as exc:
            raise damaged(self._label()) from exc

    def close(self) -> None:
        """Close what the generator reads. Harmless when repeated."""
        reading, self._reading = self._reading, None
        if reading is not None:
            with contextlib.suppress(DocsaveError):  # nobody takes that piece any more
                reading.wait()
        try:
            self._pieces.close()
        except ValueError:
            # Killed while a thread still reads: the descriptor is closed with the generator, when that ends.
            _log.warning("content_closed_late", content=self._label())
