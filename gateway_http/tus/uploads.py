"""The four calls of tus. An upload belongs to the user who announced it: nobody else's ever exists."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from nameko.extensions import DependencyProvider
from werkzeug.http import http_date
from werkzeug.wrappers import Response

from docsave_services.errors import (
    BadRequest,
    DocsaveError,
    LengthRequired,
    NotFound,
    OffsetMismatch,
    QuotaExceeded,
    TooLarge,
    TooManyUploads,
)
from docsave_services.settings import Settings
from docsave_services.storage import BlobStore, HeldUpload, UnfinishedUploads, UploadState
from gateway_http.blob_access import in_thread, too_large
from gateway_http.documents import Documents
from gateway_http.limits import UNFINISHED_UPLOADS_MAX
from gateway_http.problem import problem_response
from gateway_http.request import GatewayRequest
from gateway_http.responses import no_content
from gateway_http.tus.checksum import checksum_in
from gateway_http.tus.finishing import finish
from gateway_http.tus.metadata import announced_in
from gateway_http.tus.protocol import (
    FILE_ID_HEADER,
    has_content_type,
    header_text,
    require_content_type,
    require_version,
    whole_number,
)
from gateway_http.tus.receiving import RunningHashes, receive
from gateway_http.tus.takeover import Takeovers, hold


class Uploads:
    """What routes do with uploads. One object a process: it knows the running hashes and who may be cut off."""

    def __init__(self, settings: Settings) -> None:
        self._size_max = settings.max_file_bytes
        self._store = BlobStore(settings.blob_dir)
        self._unfinished = UnfinishedUploads(self._store, settings.upload_life_seconds)
        self._hashes = RunningHashes()
        self._takeovers = Takeovers()

    def create(self, request: GatewayRequest, documents: Documents) -> Response:
        """Announce an upload; its first bytes may come along. 201 with its ``Location``.

        An error before all bytes are there leaves nothing. One after that has the ``Location`` too: ``HEAD`` there
        goes on with making the file.
        """
        require_version(request)
        state = self._announced(request)
        checksum = checksum_in(header_text(request, "Upload-Checksum"))
        with_content = _brings_content(request)
        room = self._room(request, documents, state.length or 0)
        with _released(in_thread(self._unfinished.create, request.identity.user_id, state)) as held:
            headers = {"Location": f"/uploads/{held.id}"}
            try:
                if with_content:
                    most, too_much = self._most(held, room)
                    receive(request.body, held, most, too_much, checksum, self._hashes)
            except BaseException:
                self._forget(held)
                raise
            try:
                return _answer(Response(status=201), headers | self._progress(request, documents, held))
            except DocsaveError as exc:
                return problem_response(exc, request.request_id, headers)

    def look(self, request: GatewayRequest, documents: Documents, upload_id: str) -> Response:
        """How much of an upload is on disk; makes the file of one that is whole and has none yet."""
        require_version(request)
        found = self._find(request, upload_id)
        if isinstance(found, UploadState):
            return _answer(Response(), _description(found) | _finished(found))
        with _released(found) as held:
            progress = self._progress(request, documents, held)
            return _answer(Response(), _description(held.state) | progress)

    def receive(self, request: GatewayRequest, documents: Documents, upload_id: str) -> Response:
        """Append the body at ``Upload-Offset``. 204 with the new offset, and with the file's id after the last byte."""
        require_version(request)
        require_content_type(request)
        offset = _offset_in(request)
        checksum = checksum_in(header_text(request, "Upload-Checksum"))
        if not request.body.framed:
            raise LengthRequired
        found = self._find(request, upload_id)
        if isinstance(found, UploadState):
            _require_nothing_more(request, offset, found.length or 0)
            return _answer(no_content(), _finished(found))
        with _released(found) as held:
            if held.complete:
                _require_nothing_more(request, offset, held.offset)
            else:
                _require_offset(offset, held.offset)
                room = self._settle_length(request, documents, held)
                most, too_much = self._most(held, room)
                with self._takeovers.allowed(held, partial(_cut, request)):
                    receive(request.body, held, most, too_much, checksum, self._hashes)
            return _answer(no_content(), self._progress(request, documents, held))

    def terminate(self, request: GatewayRequest, upload_id: str) -> Response:
        """Give an upload up, with all its bytes. A file that it has become stays."""
        require_version(request)
        found = self._find(request, upload_id)
        if isinstance(found, UploadState):
            in_thread(self._unfinished.forget_finished, request.identity.user_id, upload_id)
        else:
            with _released(found) as held:
                self._forget(held)
        return no_content()

    def _announced(self, request: GatewayRequest) -> UploadState:
        length = whole_number(request, "Upload-Length")
        deferred = header_text(request, "Upload-Defer-Length")
        if (length is None) == (deferred is None) or deferred not in (None, "1"):
            raise BadRequest("Send either Upload-Length or Upload-Defer-Length: 1")
        self._check_length(length or 0)
        metadata = header_text(request, "Upload-Metadata") or ""
        announced = announced_in(metadata)
        return UploadState(length, metadata, announced.name, announced.folder, announced.labels)

    def _check_length(self, length: int) -> None:
        if length > self._size_max:
            raise too_large(self._size_max)

    def _room(self, request: GatewayRequest, documents: Documents, length: int, new: int = 1) -> int | None:
        """How many bytes the user's quota leaves beside files and unfinished uploads; None without a quota.

        ``QuotaExceeded`` when that is less than ``length``, ``TooManyUploads`` when there may be no ``new`` one.
        """
        user_id = request.identity.user_id
        under_way = in_thread(self._unfinished.of_user, user_id)
        if under_way.count + new > UNFINISHED_UPLOADS_MAX:
            raise TooManyUploads
        usage = documents.usage(user_id)
        if usage["quota_bytes"] is None:
            return None
        room = max(0, usage["quota_bytes"] - usage["used_bytes"] - under_way.size)
        if length > room:
            raise QuotaExceeded
        return room

    def _settle_length(self, request: GatewayRequest, documents: Documents, held: HeldUpload) -> int | None:
        """Take the length of an upload that was announced without one. How many more bytes the quota leaves it."""
        length = whole_number(request, "Upload-Length")
        if held.state.length is not None:
            if length not in (None, held.state.length):
                raise BadRequest("Upload-Length is settled and cannot change")
            return None
        if length is None:
            return self._room(request, documents, 0, new=0)
        self._check_length(length)
        if length < held.offset:
            raise BadRequest("Upload-Length is less than what has come already")
        room = self._room(request, documents, length - held.offset, new=0)
        in_thread(held.save, replace(held.state, length=length))
        return room

    def _most(self, held: HeldUpload, room: int | None) -> tuple[int, DocsaveError]:
        """How many bytes may follow, and the error for more."""
        if held.state.length is not None:
            return held.state.length - held.offset, TooLarge("More content than Upload-Length says")
        left = self._size_max - held.offset
        if room is not None and room < left:
            return room, QuotaExceeded()
        return left, too_large(self._size_max)

    def _find(self, request: GatewayRequest, upload_id: str) -> HeldUpload | UploadState:
        """The upload, held; or what is known of it when it has become a file."""
        user_id = request.identity.user_id
        try:
            return hold(self._unfinished, user_id, upload_id)
        except NotFound:
            return in_thread(self._unfinished.finished, user_id, upload_id)

    def _progress(self, request: GatewayRequest, documents: Documents, held: HeldUpload) -> dict[str, str]:
        """Where the upload stands, as headers. One that is whole becomes a file first."""
        if not held.complete:
            expires = in_thread(held.expires_at, self._unfinished.life_seconds)
            return {"Upload-Offset": str(held.offset), "Upload-Expires": http_date(expires)}
        finish(held, self._store, self._hashes, partial(documents.create_once, request))
        return _finished(held.state)

    def _forget(self, held: HeldUpload) -> None:
        self._hashes.forget(held.id)
        in_thread(held.discard)


@contextmanager
def _released(held: HeldUpload) -> Iterator[HeldUpload]:
    try:
        yield held
    finally:
        in_thread(held.release)


def _brings_content(request: GatewayRequest) -> bool:
    """Whether a creation has the first piece with it; ``UnsupportedMediaType`` for a body that is none."""
    if not request.body.finished:
        require_content_type(request)
    return request.body.framed and has_content_type(request)


def _offset_in(request: GatewayRequest) -> int:
    offset = whole_number(request, "Upload-Offset")
    if offset is None:
        raise BadRequest("Send Upload-Offset")
    return offset


def _require_offset(said: int, actual: int) -> None:
    if said != actual:
        raise OffsetMismatch(f"The upload stands at {actual}, not at {said}")


def _require_nothing_more(request: GatewayRequest, said: int, length: int) -> None:
    """An upload that is whole takes only the repetition of its end: an empty piece."""
    _require_offset(said, length)
    if not request.body.finished:
        raise TooLarge("More content than Upload-Length says")


def _cut(request: GatewayRequest) -> None:
    """End the connection from outside: whoever reads from it hears that the body is truncated."""
    with contextlib.suppress(OSError):
        request.body.get_socket().shutdown(socket.SHUT_RDWR)


def _description(state: UploadState) -> dict[str, str]:
    """What was announced, as headers."""
    length = {"Upload-Defer-Length": "1"} if state.length is None else {"Upload-Length": str(state.length)}
    return length | ({"Upload-Metadata": state.metadata} if state.metadata else {})


def _finished(state: UploadState) -> dict[str, str]:
    return {"Upload-Offset": str(state.length), FILE_ID_HEADER: str(state.file_id)}


def _answer(response: Response, headers: dict[str, str]) -> Response:
    response.headers.pop("Content-Type", None)
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers)
    return response


class UploadsProvider(DependencyProvider):
    """Injects ``Uploads``."""

    def setup(self) -> None:
        self._uploads = Uploads(Settings.from_config(self.container.config))

    def get_dependency(self, worker_ctx: Any) -> Uploads:
        return self._uploads
