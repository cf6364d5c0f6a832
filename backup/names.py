"""Names in the backup directory: one for each version, safe on any file system, readable by a person."""

from __future__ import annotations

import re
from datetime import UTC, datetime

ENTRY_NAME_BYTES_MAX = 255
"""Longest file name of ext4, XFS, NTFS (there in UTF-16 units, which are fewer) and APFS."""

EXTENSION_BYTES_MAX = 32
"""A longer tail after the last dot is not an extension and is cut like the rest."""

COMPACTED_SUFFIX = ".zst"
"""What compaction appends; room for it is kept in every name."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_LEADING = re.compile(r"^[-. ]+")
_TRAILING = re.compile(r"[. ]+$")
# Windows opens the device whatever follows the dot ("Naming Files, Paths, and Namespaces", Win32 documentation).
_DEVICE = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\s*(?:\.|$))", re.IGNORECASE)
_JSON = re.compile(r"v(\d{6,18})\.json")


def version_label(version: int) -> str:
    """``v000001``: sorts as the versions do, up to a million."""
    return f"v{version:06d}"


def json_name(version: int) -> str:
    """The name of the event's file, whose presence says that the entry is complete."""
    return f"{version_label(version)}.json"


def version_of_json(name: str) -> int | None:
    """The version whose event a file of that name holds, or None."""
    match = _JSON.fullmatch(name)
    return int(match[1]) if match and json_name(int(match[1])) == name else None


def patch_name(version: int) -> str:
    """The name of the file that says how compaction left the version's content."""
    return f"{version_label(version)}.patch.json"


def thinned_name(version: int) -> str:
    """The name of the file that says when and why the version's content was given up."""
    return f"{version_label(version)}.thinned.json"


def content_prefix(version: int) -> str:
    """How the name of that version's content begins."""
    return f"{version_label(version)}_"


def content_name(version: int, at: str, name: str) -> str:
    """``v000001_20261124T101500Z_<name>``, at most 255 bytes. ``at`` is RFC 3339; the same input, the same name."""
    head = f"{content_prefix(version)}{_stamp(at)}_"
    room = ENTRY_NAME_BYTES_MAX - len(head.encode()) - len(COMPACTED_SUFFIX)
    return head + safe_name(name, room)


def safe_name(name: str, bytes_max: int) -> str:
    """``name`` with every character that some file system refuses replaced by ``_``, cut to ``bytes_max`` in UTF-8."""
    safe = _UNSAFE.sub("_", name)
    safe = _LEADING.sub(_underscores, safe)
    safe = _DEVICE.sub(r"\1_", safe)
    safe = _cut(safe, bytes_max)
    return _TRAILING.sub(_underscores, safe) or "_"


def _stamp(at: str) -> str:
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _underscores(match: re.Match[str]) -> str:
    return "_" * len(match[0])


def _cut(name: str, bytes_max: int) -> str:
    if len(name.encode()) <= bytes_max:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > EXTENSION_BYTES_MAX:
        stem, dot, extension = name, "", ""
    tail = dot + extension
    kept = stem.encode()[: bytes_max - len(tail.encode())]
    return kept.decode(errors="ignore") + tail
