"""Reading content that lies as patches: exact, or refused."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from backports import zstd

import docsave_services.storage.patches as patches
from docsave_services.errors import BlobDamaged
from docsave_services.storage.patches import Layers, unpacked

BASE = random.Random(1).randbytes(300_000)
CONTENT = BASE[:100_000] + b"inserted" + BASE[100_000:]


def patch_of(content: bytes, base: bytes | None) -> bytes:
    prefix = zstd.ZstdDict(base, is_raw=True).as_prefix if base else None
    return zstd.compress(content, zstd_dict=prefix)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], Callable[[], int]]:
    """Writes bytes to a file and gives what opens it."""

    def write(content: bytes) -> Callable[[], int]:
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        path.write_bytes(content)
        return lambda: os.open(path, os.O_RDONLY)

    return write


Put = Callable[[bytes], Callable[[], int]]


def test_patches_are_applied_in_their_order(put: Put) -> None:
    """From plain content, from content packed alone, or none at all."""
    last = CONTENT[::-1]
    steps = (put(patch_of(CONTENT, BASE)), put(patch_of(last, CONTENT)))
    for layers in (Layers(put(BASE), steps), Layers(None, (put(patch_of(BASE, None)), *steps))):
        assert b"".join(layers.verified(sha256(last).hexdigest(), len(last))) == last
    assert b"".join(Layers(put(BASE)).pieces()) == BASE
    assert list(Layers(None).pieces()) == []


def test_no_whole_wrong_content_is_given(put: Put) -> None:
    """Another hash, a longer or a shorter size: the last piece does not come."""
    layers = Layers(put(BASE), (put(patch_of(CONTENT, BASE)),))
    right = sha256(CONTENT).hexdigest()
    for digest, size in [("0" * 64, len(CONTENT)), (right, len(CONTENT) - 1), (right, len(CONTENT) + 1)]:
        given = []
        with pytest.raises(BlobDamaged):
            given.extend(layers.verified(digest, size))
        assert len(b"".join(given)) < len(CONTENT)


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda patch: b"",
        lambda patch: b"no frame at all",
        lambda patch: patch[:-1],
        lambda patch: patch + b"more",
        lambda patch: patch + patch,
        lambda patch: patch[:20] + bytes(20) + patch[40:],
    ],
)
def test_what_is_no_patch_is_damage(spoiled: Callable[[bytes], bytes]) -> None:
    """Empty, cut, followed by something, or other bytes."""
    with pytest.raises(BlobDamaged):
        for _ in unpacked([spoiled(patch_of(CONTENT, BASE))], BASE):
            pass


def test_a_patch_of_other_content_is_damage(put: Put) -> None:
    """Made of another base, it may decode; the hash tells."""
    layers = Layers(put(BASE[::-1]), (put(patch_of(CONTENT, BASE)),))
    with pytest.raises(BlobDamaged):
        list(layers.verified(sha256(CONTENT).hexdigest(), len(CONTENT)))


def test_nothing_between_grows_beyond_the_limit(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small frame may say that it is huge: what lies between is held in memory."""
    monkeypatch.setattr(patches, "PATCHED_BYTES_MAX", 1_000_000)
    bomb = put(zstd.compress(bytes(5_000_000)))
    with pytest.raises(BlobDamaged):
        list(Layers(None, (bomb, put(patch_of(CONTENT, BASE)))).pieces())
    assert sum(map(len, Layers(None, (bomb,)).pieces())) == 5_000_000  # given away as it comes


def test_a_window_that_is_too_large_is_refused() -> None:
    """It would cost memory that nobody has promised."""
    options = {int(zstd.CompressionParameter.window_log): patches.WINDOW_LOG_MAX + 1}
    encoder = zstd.ZstdCompressor(options=options)
    frame = encoder.compress(b"a") + encoder.flush()
    with pytest.raises(BlobDamaged):
        list(unpacked([frame], None))
