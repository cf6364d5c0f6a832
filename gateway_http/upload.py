"""Receiving a file: what can be refused without its bytes is refused first, then they stream into the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from docsave_services.domain.names import name_problem
from docsave_services.errors import InvalidInput, LengthRequired, UnsupportedMediaType
from docsave_services.storage import BlobStore, StoredBlob
from gateway_http.blob_access import BlobWriter, too_large
from gateway_http.body import RequestBody
from gateway_http.content_disposition import file_name_in, parameters_of
from gateway_http.limits import MULTIPART_OVERHEAD_BYTES
from gateway_http.media_types import guess_media_type, media_type_of
from gateway_http.multipart_body import FilePart, boundary_of, read_file_part
from gateway_http.request import GatewayRequest
from gateway_http.schemas import UploadQuery

_UNSAID = "application/x-www-form-urlencoded"
"""curl sends this with any ``--data-binary``; nobody means it for a file."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Durable content and what the client said about it; ``name`` is None where none was asked for."""

    blob: StoredBlob
    name: str | None
    media_type: str | None

    @property
    def required_name(self) -> str:
        """The name; ``InvalidInput`` without one."""
        return _checked_name(self.name)

    @property
    def media_type_or_guess(self) -> str:
        """The media type the client said, else what the name suggests."""
        return self.media_type or guess_media_type(self.required_name)


def receive_new_file(request: GatewayRequest, store: BlobStore) -> Upload:
    """The body of ``POST /files``. The name comes from ``?name=``, else from the part or ``Content-Disposition``.

    Raises ``InvalidInput`` for a bad name, ``LengthRequired``, ``TooLarge``, ``UnsupportedMediaType``,
    ``BadMultipart``, ``BodyTruncated``, ``BodyTimeout``, ``StorageUnavailable``; nothing is kept then.
    """
    name = request.query_as(UploadQuery).name
    if _is_multipart(request):
        return _receive_multipart(request, store, name, name_needed=True)
    name = _checked_name(name or _name_in_headers(request))
    return _receive_raw(request, store, name)


def receive_content(request: GatewayRequest, store: BlobStore) -> Upload:
    """The body of ``PUT /files/{id}/content``: as above, but a name is neither needed nor looked at."""
    if _is_multipart(request):
        return _receive_multipart(request, store, None, name_needed=False)
    return _receive_raw(request, store, None)


def _is_multipart(request: GatewayRequest) -> bool:
    """``UnsupportedMediaType`` for other kinds of multipart: storing their envelope is not what anyone wants."""
    kind = request.environ["CONTENT_TYPE"].partition(";")[0].strip().lower()
    if kind.startswith("multipart/") and kind != "multipart/form-data":
        raise UnsupportedMediaType("Send multipart/form-data, or the content itself")
    return bool(kind == "multipart/form-data")


def _receive_raw(request: GatewayRequest, store: BlobStore, name: str | None) -> Upload:
    size_max = request.settings.max_file_bytes
    _check_announced(request.body, size_max, size_max)
    with BlobWriter(store, size_max) as writer:
        for piece in _pieces(request.body):
            writer.write(piece)
        return Upload(writer.commit(), name, _said_media_type(request.environ["CONTENT_TYPE"]))


def _receive_multipart(request: GatewayRequest, store: BlobStore, name: str | None, name_needed: bool) -> Upload:
    size_max = request.settings.max_file_bytes
    boundary = boundary_of(request.environ["CONTENT_TYPE"])
    _check_announced(request.body, size_max, size_max + MULTIPART_OVERHEAD_BYTES)
    part: list[FilePart] = []

    def begin(file_part: FilePart) -> None:
        if name_needed:
            _checked_name(name or file_part.name, "file")
        part.append(file_part)

    with BlobWriter(store, size_max) as writer:
        read_file_part(boundary, _pieces(request.body), begin, writer.write)
        blob = writer.commit()
    return Upload(blob, name or part[0].name, _said_media_type(part[0].content_type))


def _check_announced(body: RequestBody, size_max: int, body_max: int) -> None:
    if not body.framed:
        raise LengthRequired
    if (body.announced or 0) > body_max:
        raise too_large(size_max)


def _pieces(body: RequestBody) -> Iterator[bytes]:
    while piece := body.read_some():
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


def _said_media_type(content_type: str) -> str | None:
    media_type = media_type_of(content_type)
    return None if media_type == _UNSAID else media_type
