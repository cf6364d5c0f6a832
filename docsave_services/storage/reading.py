"""Reading stored content so that what is wrong with it is found before it is believed. Blocking.

``open_file`` gives a descriptor for reading; it is called at the first step and closed with the generator.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator

from docsave_services.errors import BlobDamaged

CHUNK_BYTES = 1024 * 1024
"""Content is read and written in pieces of this size."""


def verified_pieces(open_file: Callable[[], int], sha256: str, size: int | None = None) -> Generator[bytes, None, None]:
    """The content in pieces, each held back until the next is read, so that the last one leaves only after the
    whole matched its hash. ``BlobDamaged`` before it otherwise: a reader never gets a complete wrong copy.

    ``size``, where it is known, is compared first: a reader that stops after that many bytes must not be left
    with a whole it takes for good when more follows.
    """
    fd = open_file()
    try:
        if size is not None and os.fstat(fd).st_size != size:
            raise BlobDamaged
        digest, held = hashlib.sha256(), b""
        while piece := os.read(fd, CHUNK_BYTES):
            digest.update(piece)
            if held:
                yield held
            held = piece
        if digest.hexdigest() != sha256:
            raise BlobDamaged
        yield held
    finally:
        os.close(fd)


def part_pieces(open_file: Callable[[], int], size: int, start: int, stop: int) -> Generator[bytes, None, None]:
    """The bytes from ``start`` up to ``stop`` (exclusive) of content of ``size`` bytes, in pieces.

    A part has no hash of its own: only the size is checked. ``BlobDamaged`` for another one, also for content that
    becomes shorter while it is read.
    """
    fd = open_file()
    try:
        if os.fstat(fd).st_size != size:
            raise BlobDamaged
        while start < stop:
            piece = os.pread(fd, min(CHUNK_BYTES, stop - start), start)
            if not piece:
                raise BlobDamaged
            start += len(piece)
            yield piece
    finally:
        os.close(fd)
