"""Checking, without any server, that a file is a version in docsave's history.

A proof holds the version's entry and the hashes on its way to the root of a Merkle tree (RFC 9162, section 2.1.3) over
the whole history. Everything hashed here was also hashed by docsave; who has noted the head (size and root) earlier,
or got it from somebody else, knows that the history has not been rewritten since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docsave_client.errors import Damaged

FORMAT = "docsave-proof-1"
CHUNK_BYTES = 1024 * 1024
PROOF_BYTES_MAX = 1024 * 1024
"""A proof has some thousand bytes: its entry, and 64 bytes for each halving of the history."""


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof says of a file, and the head of the history that it leads to."""

    entry: dict[str, Any]
    store_id: str
    size: int
    root: str


def verify_proof(file: Path, proof_file: Path) -> Proven:
    """Check ``file`` against a proof as ``GET /files/{id}/versions/{n}/proof`` gives it.

    ``Damaged`` says what does not fit.
    """
    with proof_file.open("rb") as reader:
        text = reader.read(PROOF_BYTES_MAX)
    try:
        return _verify(json.loads(text), lambda: _sha256(file), file.stat().st_size)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Damaged("this is not a proof of docsave's") from exc


def _verify(proof: Any, sha256: Callable[[], str], size: int) -> Proven:
    if proof["format"] != FORMAT:
        raise Damaged(f"a proof of the kind {proof['format']} is not known here")
    entry = proof["entry"]
    spelled = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    leaf = hashlib.sha256(b"\x00" + spelled.encode()).digest()
    siblings = [bytes.fromhex(text) for text in proof["path"]]
    if _root(leaf, int(proof["index"]), int(proof["size"]), siblings) != bytes.fromhex(proof["root"]):
        raise Damaged("the entry is not in the history of which the proof gives the root")
    if entry["event_id"] != proof["index"] + 1:
        raise Damaged("the entry is not at its own place in the history")
    if entry["type"] == "File_delete":
        raise Damaged("the entry is a deletion: it has no content")
    if size != entry["size"] or sha256() != entry["sha256"]:
        raise Damaged("the file is not the content of this version")
    return Proven(entry, str(proof["store_id"]), int(proof["size"]), str(proof["root"]))


def _root(node: bytes, index: int, size: int, siblings: list[bytes]) -> bytes | None:
    """The root that ``siblings`` lead to from the leaf ``node``; None when they cannot be its."""
    if not 0 <= index < size:
        return None
    left, last = list(siblings), size - 1
    while last > 0:
        if index % 2 or index < last:  # else it is alone at the end of its level, and goes up as it is
            if not left:
                return None
            sibling = left.pop(0)
            pair = sibling + node if index % 2 else node + sibling
            node = hashlib.sha256(b"\x01" + pair).digest()
        index, last = index // 2, last // 2
    return None if left else node


def _sha256(file: Path) -> str:
    with file.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()
