"""The arithmetic of the chain: links from entry to entry, and a Merkle tree over all of them (ADR 013). No files here.

Links follow from the journal alone, so that an entry can name the one before it which is not copied yet. Leaves cover
the whole JSON. Tree, root and path are those of RFC 9162, sections 2.1.1 to 2.1.3.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from docsave_services.contracts import FileEvent

IDENTITY = ("event_id", "type", "id", "user_id", "name", "size", "sha256", "version", "at")
"""The fields that make two events the same change; every release has written them."""

UNCHAINED = "stored"
"""The one field of an entry that no hash covers: how its content lies in the directory now."""

NOTHING = bytes(32)
"""The link before the first entry; also what stands for an entry that was missing when its chain was made."""


class LinkedEvent(FileEvent):
    """What an entry's JSON holds: the event, and ``previous``, the link of the entry before it in hexadecimal."""

    previous: NotRequired[str]


class Proof(TypedDict):
    """What an outsider needs to check one version: the entry and its way to the root of the first ``size`` entries.

    Hashes are in hexadecimal. ``index`` counts from 0.
    """

    format: str
    store_id: str
    epoch: str
    entry: dict[str, Any]
    index: int
    size: int
    path: list[str]
    root: str


class Head(TypedDict):
    """One value for the whole history: how many entries it has, and the root of the tree over them."""

    size: int
    root: str


PROOF_FORMAT = "docsave-proof-1"


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one spelling of a JSON object that is hashed: keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def identity_hash(entry: Mapping[str, Any]) -> bytes:
    """The hash of what makes the entry the change it is."""
    return hashlib.sha256(canonical({key: entry.get(key) for key in IDENTITY})).digest()


def link(previous: bytes, identity: bytes) -> bytes:
    """The link of an entry whose predecessor's is ``previous``."""
    return hashlib.sha256(previous + identity).digest()


def leaf(entry: Mapping[str, Any]) -> bytes:
    """The leaf of an entry: a hash of everything in its JSON but ``stored``."""
    kept = {key: value for key, value in entry.items() if key != UNCHAINED}
    return hashlib.sha256(b"\x00" + canonical(kept)).digest()


def root(nodes: Sequence[bytes]) -> bytes:
    """The root over ``nodes``: leaves, or the roots of blocks of 2^k leaves of which only the last may be smaller."""
    if not nodes:
        return hashlib.sha256(b"").digest()
    while len(nodes) > 1:
        nodes = _level_above(nodes)
    return nodes[0]


def path(index: int, nodes: Sequence[bytes]) -> list[bytes]:
    """The siblings on the way from ``nodes[index]`` to the root, the lowest first."""
    siblings = []
    while len(nodes) > 1:
        if index ^ 1 < len(nodes):
            siblings.append(nodes[index ^ 1])
        nodes, index = _level_above(nodes), index // 2
    return siblings


def root_by_path(start: bytes, index: int, size: int, siblings: Sequence[bytes]) -> bytes | None:
    """The root that ``siblings`` lead to from leaf ``index`` of ``size``; None when they cannot be its."""
    if not 0 <= index < size:
        return None
    node, last = start, size - 1
    remaining = list(siblings)
    while last > 0:
        if index % 2 or index < last:
            if not remaining:
                return None
            sibling = remaining.pop(0)
            node = _above(sibling, node) if index % 2 else _above(node, sibling)
        index, last = index // 2, last // 2
    return None if remaining else node


def _level_above(nodes: Sequence[bytes]) -> list[bytes]:
    pairs = [_above(nodes[i], nodes[i + 1]) for i in range(0, len(nodes) - 1, 2)]
    return pairs if len(nodes) % 2 == 0 else [*pairs, nodes[-1]]


def _above(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Links:
    """The links of events that come in the journal's order. ``place`` and ``tip`` are those of the last one."""

    def __init__(self, place: int, tip: bytes) -> None:
        self.place = place
        self.tip = tip

    def take(self, event: FileEvent) -> LinkedEvent | None:
        """The event with the link of the one before it; None for a repeat."""
        if event["event_id"] <= self.place:
            return None
        previous = self.tip
        self.tip = link(previous, identity_hash(event))
        self.place = event["event_id"]
        return {**event, "previous": previous.hex()}
