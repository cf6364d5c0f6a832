"""Making a patch: a zstd frame that turns the content of one version into that of another. Blocking.

Prefixes with long-distance matching find what moved, however far, as ``zstd --patch-from --long`` does.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

from backports import zstd

from backup.content import READ_ONLY, never, unless, write_all
from docsave_services.storage.durable import temporary_beside, write_file
from docsave_services.storage.patches import BASE_BYTES_MIN, PATCHED_BYTES_MAX, WINDOW_LOG_MAX

LEVEL = 9
"""Some 60 MB/s of text; more costs much and gains little where most of the content is found in the prefix."""

ALONE_WINDOW_LOG = 23
"""8 MiB, for content that is packed without a neighbour: what is needed to read it, whatever its size."""

BLOCK_BYTES = 4096
"""What a file takes up at least, and in steps of what, on most file systems."""


class DoesNotShrink(Exception):
    """The patch, with the file that names its base, would take as much room as the content."""


def can_be_base(size: int) -> bool:
    """Whether a patch can be made against content of that size in bytes."""
    return BASE_BYTES_MIN <= size <= PATCHED_BYTES_MAX


def room(size: int) -> int:
    """The bytes that a file of ``size`` bytes takes up."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def patch_bytes_max(size: int) -> int:
    """The largest patch worth having for content of ``size`` bytes: it comes with one more small file."""
    return room(size) - 2 * BLOCK_BYTES


def write_patch(
    content: Iterable[bytes], size: int, base: bytes | None, target: Path, cancelled: Callable[[], bool] = never
) -> Path:
    """A temporary file beside ``target``, durable, with the patch that makes ``content`` of ``base``.

    ``DoesNotShrink`` when it is not worth it; then, and after any other error, there is no file.
    """
    temporary = temporary_beside(target)
    try:
        with io.FileIO(temporary, "xb") as writer:
            for piece in _at_most(patch_bytes_max(size), _packed(unless(cancelled, content), size, base)):
                write_all(writer, memoryview(piece))
            os.fchmod(writer.fileno(), READ_ONLY)
            os.fsync(writer.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _at_most(count: int, pieces: Iterable[bytes]) -> Generator[bytes, None, None]:
    for piece in pieces:
        count -= len(piece)
        if count < 0:
            raise DoesNotShrink
        yield piece


def write_side(path: Path, patch: str | None, base: int | None, base_name: str | None) -> None:
    """Say in ``path`` how the content lies: which patch, against which version, under what name that is when plain."""
    content = {"format": "docsave-patch-1", "patch": patch, "base": base, "patch_from": base_name}
    write_file(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(), READ_ONLY)


def _packed(content: Iterable[bytes], size: int, base: bytes | None) -> Generator[bytes, None, None]:
    parameter = zstd.CompressionParameter
    options = {
        int(parameter.compression_level): LEVEL,
        int(parameter.window_log): _window_log(size, base),
        int(parameter.enable_long_distance_matching): int(base is not None),
        int(parameter.checksum_flag): 1,
    }
    prefix = zstd.ZstdDict(base, is_raw=True).as_prefix if base is not None else None
    encoder = zstd.ZstdCompressor(options=options, zstd_dict=prefix)
    encoder.set_pledged_input_size(size)
    for piece in content:
        yield encoder.compress(piece)
    yield encoder.flush()


def _window_log(size: int, base: bytes | None) -> int:
    """A window over both, so that all of the base can be found from every place of the content."""
    if base is None:
        return ALONE_WINDOW_LOG
    return min(max((len(base) + size).bit_length(), 10), WINDOW_LOG_MAX)
