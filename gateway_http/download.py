"""Sending a file: streamed, and checked against its hash on the way, so that no complete wrong copy ever leaves."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime

from werkzeug.http import http_date
from werkzeug.wrappers import Response

from docsave_services.contracts import StoredFile
from docsave_services.errors import BlobDamaged, BlobMissing, DocsaveError
from docsave_services.log import get_logger
from docsave_services.storage import BlobStore
from gateway_http.blob_access import in_thread
from gateway_http.content_disposition import attachment
from gateway_http.request import GatewayRequest
from gateway_http.responses import etag_of

_log = get_logger(__name__)


def content_response(request: GatewayRequest, store: BlobStore, file: StoredFile) -> Response:
    """The content of ``file``, or for HEAD its headers alone.

    A blob that is missing or, up to one piece, damaged is ``BlobDamaged``; a larger one breaks the connection before
    the last piece.
    """
    headers = _headers(file)
    if request.method == "HEAD":
        _check_size(store, file)
        return Response(headers=headers)
    content = _VerifiedContent(store, file)
    response = Response(content, headers=headers, direct_passthrough=True)
    response.call_on_close(content.close)
    return response


def _headers(file: StoredFile) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(file["sha256"])).decode("ascii")
    return {
        "Content-Type": file["media_type"],
        "Content-Length": str(file["size"]),
        "Content-Disposition": attachment(file["name"]),
        "ETag": etag_of(file),
        "Last-Modified": http_date(datetime.fromisoformat(file["updated_at"])),
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _check_size(store: BlobStore, file: StoredFile) -> None:
    try:
        size = in_thread(store.size_of, file["path"])
    except BlobMissing as exc:
        raise _damaged(file) from exc
    if size != file["size"]:
        raise _damaged(file)


def _damaged(file: StoredFile) -> DocsaveError:
    _log.error("blob_damaged", file_id=file["id"], blob=file["path"])
    return BlobDamaged()


class _VerifiedContent:
    """The pieces of a blob, each read and hashed in a thread. The first is read at once: its failure is an answer."""

    def __init__(self, store: BlobStore, file: StoredFile) -> None:
        self._file = file
        self._pieces = store.read_verified(file["path"], file["size"])
        try:
            self._first = self._read()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        piece: bytes | None = self._first
        self._first = None
        while piece is not None:
            yield piece
            piece = self._read()

    def _read(self) -> bytes | None:
        try:
            return in_thread(next, self._pieces, None)
        except (BlobDamaged, BlobMissing) as exc:
            raise _damaged(self._file) from exc

    def close(self) -> None:
        """Close the blob's descriptor. Harmless when repeated."""
        try:
            self._pieces.close()
        except ValueError:
            # Killed while a thread still reads: the descriptor is closed with the generator, when that ends.
            _log.warning("blob_closed_late", file_id=self._file["id"])
