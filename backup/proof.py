"""Proofs from the directory: one entry and its way to the root over all of them. Blocking: call it in a thread."""

from __future__ import annotations

import json
from pathlib import Path

from backup.catalogue import entry_in_history
from backup.chain import PROOF_FORMAT, UNCHAINED, Proof, leaf
from backup.chain_log import ChainView
from backup.home import MARKER
from backup.progress import read_place
from docsave_services.errors import BlobDamaged, InvalidInput, NotFound


def proof_of(root: Path, file_id: int, version: int, size: int | None = None) -> Proof:
    """The proof of one version against the head over the first ``size`` entries; by default over all that are durable.

    ``NotFound`` for one that is not there or not in the chain (yet), ``BlobDamaged`` when the entry is not the one in
    the chain, ``InvalidInput`` for a ``size`` that the history has not had.
    """
    entry = entry_in_history(root, file_id, version)
    marker = json.loads((root / MARKER).read_bytes())
    chain = ChainView(root)
    durable = min(chain.size(), read_place(root, marker["epoch"]).copied)
    size = durable if size is None else size
    if durable == 0:
        raise NotFound("This version is not in the chain yet")
    if not 0 < size <= durable:
        raise InvalidInput.for_field("size", f"must be from 1 to {durable}, the size of the history")
    event_id = entry["event_id"]
    if event_id > size:
        raise NotFound("This version is not in the chain yet" if size == durable else f"It came after entry {size}")
    line = chain.line(event_id)
    if line and not line.is_vouched_for:
        raise NotFound("Nothing vouches for this version: it was missing when the chain was made")
    if line is None or line.leaf != leaf(entry):
        raise BlobDamaged("The entry of this version is not the one in the chain")
    siblings, top = chain.way(event_id, size)
    return {
        "format": PROOF_FORMAT,
        "store_id": marker["store_id"],
        "epoch": marker["epoch"],
        "entry": {key: value for key, value in entry.items() if key != UNCHAINED},
        "index": event_id - 1,
        "size": size,
        "path": [sibling.hex() for sibling in siblings],
        "root": top.hex(),
    }
