"""Names in a mirrored history: those of the server's backup directory. A test holds both together."""

from __future__ import annotations

import re
from datetime import UTC, datetime

NAME_BYTES_MAX = 255
EXTENSION_BYTES_MAX = 32
SUFFIX_BYTES = len(".zst")
"""Room for what compaction appends."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_LEADING = re.compile(r"^[-. ]+")
_TRAILING = re.compile(r"[. ]+$")
_DEVICE = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\s*(?:\.|$))", re.IGNORECASE)


def json_name(version: int) -> str:
    """The name of a version's event."""
    return f"v{version:06d}.json"


def content_prefix(version: int) -> str:
    """How the name of a version's content begins."""
    return f"v{version:06d}_"


def content_name(version: int, at: str, name: str) -> str:
    """``v000001_20261124T101500Z_<name>``, at most 255 bytes; ``ValueError`` when ``at`` is no time."""
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    head = f"{content_prefix(version)}{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}_"
    return head + safe_name(name, NAME_BYTES_MAX - len(head) - SUFFIX_BYTES)


def safe_name(name: str, bytes_max: int) -> str:
    """``name`` without what some file system refuses, cut at a character, its extension kept."""
    safe = _UNSAFE.sub("_", name)
    safe = _LEADING.sub(lambda match: "_" * len(match[0]), safe)
    safe = _DEVICE.sub(r"\1_", safe)
    safe = _cut(safe, bytes_max)
    return _TRAILING.sub(lambda match: "_" * len(match[0]), safe) or "_"


def _cut(name: str, bytes_max: int) -> str:
    if len(name.encode()) <= bytes_max:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > EXTENSION_BYTES_MAX:
        stem, dot, extension = name, "", ""
    kept = stem.encode()[: bytes_max - len((dot + extension).encode())]
    return kept.decode(errors="ignore") + dot + extension
