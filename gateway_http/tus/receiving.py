"""One piece of an upload on its way from the connection to the disk."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import replace

from docsave_services.errors import BodyTimeout, BodyTruncated, DocsaveError, StorageUnavailable
from docsave_services.storage import CHUNK_BYTES, HeldUpload
from gateway_http.blob_access import in_thread
from gateway_http.body import RequestBody
from gateway_http.limits import RUNNING_HASHES_MAX
from gateway_http.tus.checksum import Checksum


class RunningHashes:
    """The hash of each upload up to the byte to which this process has seen it. Forgetting one costs a second reading
    of the content when it is whole, nothing else."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, hashlib._Hash]] = OrderedDict()

    def at(self, upload_id: str, offset: int) -> hashlib._Hash | None:
        """The hash of the first ``offset`` bytes, the caller's to go on with; None when it is not known."""
        known, digest = self.nearest(upload_id)
        return digest if known == offset else None

    def nearest(self, upload_id: str) -> tuple[int, hashlib._Hash]:
        """How many bytes are hashed already, and their hash."""
        offset, digest = self._known.get(upload_id, (0, hashlib.sha256()))
        return offset, digest.copy()

    def remember(self, upload_id: str, offset: int, digest: hashlib._Hash | None) -> None:
        """Keep the hash of the first ``offset`` bytes, and no more than ``RUNNING_HASHES_MAX`` of all."""
        if digest is None:
            return
        self._known[upload_id] = (offset, digest)
        self._known.move_to_end(upload_id)
        if len(self._known) > RUNNING_HASHES_MAX:
            self._known.popitem(last=False)

    def forget(self, upload_id: str) -> None:
        """The upload is over."""
        self._known.pop(upload_id, None)


def receive(
    body: RequestBody,
    held: HeldUpload,
    most: int,
    too_much: DocsaveError,
    checksum: Checksum | None,
    hashes: RunningHashes,
) -> None:
    """Append ``body`` to the upload; what counts afterwards is on disk. Raises ``too_much`` above ``most`` bytes.

    When the client goes away (``BodyTruncated``) or stalls (``BodyTimeout``), what came before is kept, unless there
    is a ``checksum``: that of a part of the piece is unknown. In all other cases an error leaves nothing of the piece.
    """
    if (body.announced or 0) > most:
        raise too_much
    arrival = _Arrival(held, checksum, hashes)
    try:
        arrival.take(body, most, too_much)
    except (BodyTruncated, BodyTimeout, StorageUnavailable):
        if checksum is None:
            arrival.keep()
        else:
            arrival.roll_back()
        raise
    except DocsaveError:
        arrival.roll_back()
        raise
    arrival.keep()


class _Arrival:
    """Pieces are gathered into ``CHUNK_BYTES``, so that a small one costs one call to a thread."""

    def __init__(self, held: HeldUpload, checksum: Checksum | None, hashes: RunningHashes) -> None:
        self._held = held
        self._start = held.offset
        self._checksum = checksum
        self._hashes = hashes
        self._digest = hashes.at(held.id, held.offset)
        self._pieces: list[bytes] = []
        self._waiting = 0

    def take(self, body: RequestBody, most: int, too_much: DocsaveError) -> None:
        if self._checksum is not None:
            in_thread(self._held.save, replace(self._held.state, unverified_from=self._start))
        size = 0
        while piece := body.read_some():
            size += len(piece)
            if size > most:
                raise too_much
            self._pieces.append(piece)
            self._waiting += len(piece)
            if self._waiting >= CHUNK_BYTES:
                in_thread(self._write, self._taken())
        if self._checksum is not None:
            in_thread(self._write, self._taken())
            self._checksum.check()

    def keep(self) -> None:
        in_thread(self._write_and_sync, self._taken())
        self._hashes.remember(self._held.id, self._held.offset, self._digest)

    def roll_back(self) -> None:
        in_thread(self._held.roll_back, self._start)

    def _taken(self) -> list[bytes]:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        return pieces

    def _write_and_sync(self, pieces: list[bytes]) -> None:
        self._write(pieces)
        self._held.sync()
        if self._held.state.unverified_from is not None:
            self._held.save(replace(self._held.state, unverified_from=None))

    def _write(self, pieces: list[bytes]) -> None:
        digest, self._digest = self._digest, None  # a disk that fails in between leaves a hash of nothing we have
        self._held.append(pieces)
        for piece in pieces:
            if digest is not None:
                digest.update(piece)
            if self._checksum is not None:
                self._checksum.update(piece)
        self._digest = digest
