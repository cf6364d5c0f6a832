"""``Upload-Checksum``: the hash of one piece, compared before the piece counts (tus, extension checksum)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from functools import partial

from docsave_services.errors import BadRequest, ChecksumMismatch

ALGORITHMS: dict[str, Callable[[], hashlib._Hash]] = {
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": partial(hashlib.md5, usedforsecurity=False),
}
"""They find damage on the way; who a piece comes from is the token's business."""


class Checksum:
    """The hash that a piece must have, and the one that it has so far."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self._hash = ALGORITHMS[algorithm]()
        self._expected = expected

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(piece)

    def check(self) -> None:
        """``ChecksumMismatch`` when the piece is not what was sent."""
        if not hmac.compare_digest(self._hash.digest(), self._expected):
            raise ChecksumMismatch


def checksum_in(header: str | None) -> Checksum | None:
    """``sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=``; ``BadRequest`` for another algorithm or what is no hash of it."""
    if header is None:
        return None
    algorithm, _, text = header.partition(" ")
    if algorithm not in ALGORITHMS:
        raise BadRequest("Upload-Checksum must begin with one of " + ", ".join(ALGORITHMS))
    try:
        expected = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadRequest("Upload-Checksum is not base64") from exc
    if len(expected) != ALGORITHMS[algorithm]().digest_size:
        raise BadRequest(f"Upload-Checksum is not a hash of {algorithm}")
    return Checksum(algorithm, expected)
