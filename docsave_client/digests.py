"""SHA-256 of files, and how HTTP writes it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

PIECE_BYTES = 1024 * 1024


def sha256_of(path: Path) -> str:
    """The hash of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(sha256: str) -> str:
    """``Content-Digest`` (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode('ascii')}:"
