"""Content-Digest and Repr-Digest (RFC 9530): hashes of what a client sends, compared with what arrived."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import http_sf

from docsave_services.errors import BadRequest, DigestMismatch

_ALGORITHMS: dict[str, Callable[[], Any]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
"""The active ones of the registry; others are ignored, as the RFC asks."""


class Digests:
    """The digests that came with some content. ``update`` takes the content, ``verify`` compares."""

    def __init__(self, *headers: str | None, sha256_is_known: bool = False) -> None:
        """``BadRequest`` for a header that is no dictionary of byte sequences.

        ``sha256_is_known``: whoever calls ``verify`` brings that hash along, so it is not made twice.
        """
        self._wanted = [pair for header in headers if header is not None for pair in _digests_in(header)]
        own = {name for name, _ in self._wanted} - ({"sha-256"} if sha256_is_known else set())
        self._hashes = {name: _ALGORITHMS[name]() for name in own}

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def update(self, piece: bytes) -> None:
        """Take the next piece of the content."""
        for running in self._hashes.values():
            running.update(piece)

    def verify(self, sha256: str = "") -> None:
        """``DigestMismatch`` unless all came out; ``sha256`` in hexadecimal where it is known already."""
        for name, wanted in self._wanted:
            found = self._hashes[name].digest() if name in self._hashes else bytes.fromhex(sha256)
            if not hmac.compare_digest(found, wanted):
                raise DigestMismatch


def _digests_in(header: str) -> list[tuple[str, bytes]]:
    try:
        fields = http_sf.parse(header.encode("latin-1"), tltype="dictionary")
    except (http_sf.StructuredFieldError, ValueError, RecursionError) as exc:
        raise BadRequest("A digest header cannot be read") from exc
    known: list[tuple[str, bytes]] = []
    assert isinstance(fields, dict)  # noqa: S101 - a dictionary was asked for; for the type checker
    for name, item in fields.items():
        value = item[0]
        if not isinstance(value, bytes):
            raise BadRequest("A digest must be a byte sequence between colons")
        if name in _ALGORITHMS:
            known.append((name, value))
    return known
