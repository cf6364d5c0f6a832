"""From an upload that is whole to a file, in steps that can each be the last one of a process.

The hash and a change key are on disk before the content becomes a blob, and the blob is durable before the files
service hears of it. So whoever asks next does what is left, and the key lets the service make one file, however often
it is asked: ADR 010.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from docsave_services.contracts import StoredFile
from docsave_services.errors import BlobMissing, UploadExpired
from docsave_services.log import get_logger
from docsave_services.storage import CHUNK_BYTES, BlobStore, HeldUpload, UploadState
from gateway_http.blob_access import in_thread
from gateway_http.limits import SNIFFED_BYTES
from gateway_http.media_types import sniff
from gateway_http.tus.receiving import RunningHashes

_log = get_logger(__name__)

Register = Callable[[UploadState, str], StoredFile]
"""Makes the file of an upload and of the blob with a key."""


def finish(held: HeldUpload, store: BlobStore, hashes: RunningHashes, register: Register) -> int:
    """The id of the file that a whole upload becomes. Asking again after any failure makes no second one.

    ``UploadExpired`` when the content was given up meanwhile; what ``register`` and the store raise otherwise.
    """
    try:
        key = in_thread(_make_blob, held, store, *hashes.nearest(held.id))
    except BlobMissing as exc:
        _log.warning("upload_content_swept", upload=held.id)
        in_thread(held.discard)
        raise UploadExpired from exc
    file_id = held.state.file_id or register(held.state, key)["id"]
    in_thread(_put_away, held, file_id)
    hashes.forget(held.id)
    return file_id


def _make_blob(held: HeldUpload, store: BlobStore, hashed: int, digest: hashlib._Hash) -> str:
    if held.state.sha256 is None:
        _go_on(digest, held.content, hashed)
        held.save(
            replace(
                held.state,
                sha256=digest.hexdigest(),
                media_type=sniff(_head(held.content), held.state.name),
                change_key=uuid.uuid4().hex,
            )
        )
    return held.move_into(store)


def _put_away(held: HeldUpload, file_id: int) -> None:
    if held.state.file_id is None:
        held.save(replace(held.state, file_id=file_id))
    held.finish()


def _head(content: Path) -> bytes:
    with content.open("rb") as file:
        return file.read(SNIFFED_BYTES)


def _go_on(digest: hashlib._Hash, content: Path, hashed: int) -> None:
    """Hash what came through other processes, or before this one started."""
    fd = os.open(content, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.lseek(fd, hashed, os.SEEK_SET)
        while piece := os.read(fd, CHUNK_BYTES):
            digest.update(piece)
    finally:
        os.close(fd)
