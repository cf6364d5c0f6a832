"""Reading content that lies as zstd patches: each turns the content before it into the next. Blocking.

A patch is one zstd frame; ``zstd -d --patch-from=<content before it> <patch>`` does the same. The first of several may
be a frame of its own, which needs nothing before it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from backports import zstd

from docsave_services.errors import BlobDamaged
from docsave_services.storage.reading import CHUNK_BYTES

PATCHED_BYTES_MAX = 64 * 1024**2
"""Content that a patch is made of or against; it is held in memory, some three times. Larger is packed alone."""

BASE_BYTES_MIN = 8
"""zstd takes nothing shorter to patch from."""

WINDOW_LOG_MAX = 27
"""128 MiB: what the zstd program reads without being asked twice. Frames of our own need less."""

PIECE_BYTES_MAX = 4 * CHUNK_BYTES

Open = Callable[[], int]
"""Opens a file for reading; the descriptor is closed by whoever called."""


@dataclass(frozen=True, slots=True)
class Layers:
    """How to get at content: whole at ``plain``, and ``patches`` to be applied in their order.

    Without ``plain`` the first patch needs nothing before it. Neither: the content is missing.
    """

    plain: Open | None
    patches: tuple[Open, ...] = ()

    def pieces(self) -> Generator[bytes, None, None]:
        """The content, not compared with anything. ``BlobDamaged`` for what is no patch, or none of this content."""
        if not self.patches:
            if self.plain is not None:
                yield from _read(self.plain)
            return
        base = None if self.plain is None else gathered(_read(self.plain))
        for patch in self.patches[:-1]:
            base = gathered(_unpacked(patch, base))
        yield from _unpacked(self.patches[-1], base)

    def verified(self, sha256: str, size: int) -> Generator[bytes, None, None]:
        """The content, each piece held back until the next is there, so that the last one leaves only after the whole
        matched hash and size. ``BlobDamaged`` before it otherwise."""
        digest, held, left = hashlib.sha256(), b"", size
        for piece in self.pieces():
            left -= len(piece)
            if left < 0:
                raise BlobDamaged
            digest.update(piece)
            if held:
                yield held
            held = piece
        if left or digest.hexdigest() != sha256:
            raise BlobDamaged
        yield held


def unpacked(patch: Iterable[bytes], base: bytes | None) -> Generator[bytes, None, None]:
    """What ``patch`` (in pieces) makes of ``base``, in pieces. ``BlobDamaged`` for what is no whole patch."""
    try:
        prefix = zstd.ZstdDict(base, is_raw=True).as_prefix if base is not None else None
        options = {int(zstd.DecompressionParameter.window_log_max): WINDOW_LOG_MAX}
        decoder = zstd.ZstdDecompressor(zstd_dict=prefix, options=options)
        for compressed in patch:
            if decoder.eof:
                raise BlobDamaged  # something follows the patch
            yield from _decoded(decoder, compressed)
    except (zstd.ZstdError, ValueError) as exc:
        raise BlobDamaged from exc
    if not decoder.eof or decoder.unused_data:
        raise BlobDamaged


def _decoded(decoder: zstd.ZstdDecompressor, compressed: bytes) -> Generator[bytes, None, None]:
    piece = decoder.decompress(compressed, max_length=PIECE_BYTES_MAX)
    while piece:
        yield piece
        piece = b"" if decoder.eof or decoder.needs_input else decoder.decompress(b"", max_length=PIECE_BYTES_MAX)


def _unpacked(patch: Open, base: bytes | None) -> Generator[bytes, None, None]:
    return unpacked(_read(patch), base)


def _read(open_file: Open) -> Generator[bytes, None, None]:
    fd = open_file()
    try:
        while piece := os.read(fd, CHUNK_BYTES):
            yield piece
    finally:
        os.close(fd)


def gathered(pieces: Iterable[bytes]) -> bytes:
    """All of them as one, at most ``PATCHED_BYTES_MAX``: nothing larger is ever patched."""
    gathered = bytearray()
    for piece in pieces:
        if len(gathered) + len(piece) > PATCHED_BYTES_MAX:
            raise BlobDamaged
        gathered += piece
    return bytes(gathered)
