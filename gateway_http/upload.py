"""Receiving a file: what can be refused without its bytes is refused first, then they stream into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from docsave_services.domain.names import name_problem
from docsave_services.errors import (
    BadRequest,
    DocsaveError,
    InvalidInput,
    LengthRequired,
    QuotaExceeded,
    UnsupportedMediaType,
)
from docsave_services.storage import BlobStore, StoredBlob
from gateway_http.blob_access import BlobWriter, in_thread, too_large
from gateway_http.body import RequestBody
from gateway_http.content_disposition import file_name_in, parameters_of
from gateway_http.digests import Digests
from gateway_http.limits import MULTIPART_OVERHEAD_BYTES, SNIFFED_BYTES
from gateway_http.multipart_body import FilePart, boundary_of, read_form
from gateway_http.quota import Allowance
from gateway_http.request import GatewayRequest
from gateway_http.schemas import FILE_FIELDS, FileFields, UploadQuery


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of an upload before its body: how much its owner may add, and what its file is called already.

    ``refusal`` is why it cannot be taken, as far as a look ahead tells. A request without ``Idempotency-Key`` ends
    there. One with a key may be the repetition of one that succeeded, which only the transaction knows: its content is
    hashed for the fingerprint, and not kept.
    """

    allowance: Allowance
    name: str = ""
    refusal: DocsaveError | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """Durable content and what came with it: its first bytes, what its file is called or to be called.

    With a ``refusal``, as in ``Expected``, the content was not kept.
    """

    blob: StoredBlob
    head: bytes
    name: str
    fields: FileFields
    allowance: Allowance
    refusal: DocsaveError | None


def receive_new_file(request: GatewayRequest, store: BlobStore, expected: Expected, query: UploadQuery) -> Upload:
    """The body of ``POST /files``. The name comes from ``?name=``, else from the part or ``Content-Disposition``;
    folder and labels come from the query or the form.

    Raises ``InvalidInput`` for a bad name, ``LengthRequired``, ``TooLarge``, ``QuotaExceeded``, ``BadMultipart``,
    ``UnsupportedMediaType``, ``DigestMismatch``, ``BodyTruncated``, ``BodyTimeout``, ``StorageUnavailable``; nothing
    is kept then.
    """
    if _is_multipart(request):
        return _receive_form(request, store, expected, query, query.name)
    return _receive_raw(request, store, expected, query, _checked_name(query.name or _name_in_headers(request)))


def receive_content(
    request: GatewayRequest, store: BlobStore, expected: Expected, fields: FileFields | None = None
) -> Upload:
    """The body of a ``PUT``: as above, but a name is neither needed nor looked at.

    Folder and labels are taken where ``fields``, those of the query, are given.
    """
    if _is_multipart(request):
        return _receive_form(request, store, expected, fields, expected.name)
    return _receive_raw(request, store, expected, fields, expected.name)


def _is_multipart(request: GatewayRequest) -> bool:
    """``UnsupportedMediaType`` for other kinds of multipart: storing their envelope is not what anyone wants."""
    kind = request.environ["CONTENT_TYPE"].partition(";")[0].strip().lower()
    if kind.startswith("multipart/") and kind != "multipart/form-data":
        raise UnsupportedMediaType("Send multipart/form-data, or the content itself")
    return bool(kind == "multipart/form-data")


class _Incoming:
    """Content on its way: its first bytes are remembered, its size is held against the quota as it grows."""

    def __init__(self, request: GatewayRequest, writer: BlobWriter, expected: Expected) -> None:
        self._may_be_repeated = request.idempotency_key is not None
        self._writer = writer
        self._allowance = expected.allowance
        self._size = 0
        self.head = b""
        self.refusal: DocsaveError | None = None
        if expected.refusal is not None:
            self._refuse(expected.refusal)

    def expect(self, size: int) -> None:
        """At least ``size`` bytes will come."""
        self._hold_against_quota(size, self._allowance.expect)

    def write(self, piece: bytes) -> None:
        """The next piece."""
        self._size += len(piece)
        if len(self.head) < SNIFFED_BYTES:
            self.head += piece[: SNIFFED_BYTES - len(self.head)]
        self._hold_against_quota(self._size, self._allowance.check)
        self._writer.write(piece)

    def _hold_against_quota(self, size: int, check: Callable[[int], None]) -> None:
        if self.refusal is not None:
            return
        try:
            check(size)
        except QuotaExceeded as exc:
            self._refuse(exc)

    def _refuse(self, error: DocsaveError) -> None:
        if not self._may_be_repeated:
            raise error
        self.refusal = error
        self._writer.keep_nothing()


def _receive_raw(
    request: GatewayRequest, store: BlobStore, expected: Expected, fields: FileFields | None, name: str
) -> Upload:
    size_max = request.settings.max_file_bytes
    _check_head(request, size_max)
    said = (request.environ.get("HTTP_CONTENT_DIGEST"), request.environ.get("HTTP_REPR_DIGEST"))
    with BlobWriter(store, size_max) as writer:
        writer.digests = Digests(*said, sha256_is_known=True)
        incoming = _Incoming(request, writer, expected)
        incoming.expect(request.body.announced or 0)
        for piece in _pieces(request.body):
            incoming.write(piece)
        blob = writer.commit()
    return Upload(blob, incoming.head, name, fields or FileFields(), expected.allowance, incoming.refusal)


def _receive_form(
    request: GatewayRequest,
    store: BlobStore,
    expected: Expected,
    fields: FileFields | None,
    name: str | None,
) -> Upload:
    size_max = request.settings.max_file_bytes
    boundary = boundary_of(request.environ["CONTENT_TYPE"])
    _check_head(request, size_max + MULTIPART_OVERHEAD_BYTES)
    of_the_body = Digests(request.environ.get("HTTP_CONTENT_DIGEST"))
    names: list[str] = []

    def begin(part: FilePart) -> None:
        names.append(_checked_name(part.name, "file") if name is None else name)
        writer.digests = Digests(part.digest, sha256_is_known=True)

    with BlobWriter(store, size_max) as writer:
        incoming = _Incoming(request, writer, expected)
        incoming.expect(max(0, (request.body.announced or 0) - MULTIPART_OVERHEAD_BYTES))
        wanted = () if fields is None else FILE_FIELDS
        texts = read_form(boundary, _hashed(_pieces(request.body), of_the_body), begin, incoming.write, wanted)
        all_fields = FileFields() if fields is None else fields.together_with(texts)
        of_the_body.verify()
        blob = writer.commit()
    return Upload(blob, incoming.head, names[0], all_fields, expected.allowance, incoming.refusal)


def _check_head(request: GatewayRequest, body_max: int) -> None:
    """What can be told before the body. A part would be taken for the whole (RFC 9110, 14.5), and packed bytes for the
    ones that were meant."""
    if "HTTP_CONTENT_RANGE" in request.environ:
        raise BadRequest("Send the whole content; for a large one there are resumable uploads")
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Send the content as it is, without a Content-Encoding")
    if not request.body.framed:
        raise LengthRequired
    if (request.body.announced or 0) > body_max:
        raise too_large(request.settings.max_file_bytes)


def _pieces(body: RequestBody) -> Iterator[bytes]:
    while piece := body.read_some():
        yield piece


def _hashed(pieces: Iterator[bytes], digests: Digests) -> Iterator[bytes]:
    for piece in pieces:
        if digests:
            in_thread(digests.update, piece)
        yield piece


def _name_in_headers(request: GatewayRequest) -> str | None:
    header = request.environ.get("HTTP_CONTENT_DISPOSITION")
    if header is None:
        return None
    try:
        text = header.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InvalidInput.for_field("name", "Content-Disposition is not UTF-8") from exc
    return file_name_in(parameters_of(text)[1])


def _checked_name(name: str | None, field: str = "name") -> str:
    if name is None:
        raise InvalidInput.for_field(field, "needs a file name (?name= or filename in Content-Disposition)")
    problem = name_problem(name)
    if problem:
        raise InvalidInput.for_field(field, f"the file name {problem}")
    return name
