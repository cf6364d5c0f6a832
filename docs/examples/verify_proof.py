#!/usr/bin/env python3
"""Check that a file is a version in docsave's history: nothing is needed but Python 3.9, the file and its proof.

    curl -H "Authorization: Bearer $TOKEN" $API/files/7/versions/2/proof > report.proof.json
    python3 verify_proof.py report.pdf report.proof.json [--head SIZE:ROOT]

Exits with 0 and prints the head of the history that the proof leads to, or with 1 and the reason.

What a proof holds:

- ``entry``: the version as docsave recorded it: name, owner, time, and the content's ``size`` and ``sha256``;
- ``index``: its place in the history, from 0, and ``size``, the number of entries in the history;
- ``path``: hashes of a Merkle tree as in RFC 9162 (Certificate Transparency), from the entry up to ``root``.

What is computed: the leaf is SHA-256(0x00 || entry as JSON, keys sorted, no spaces, ASCII); two nodes make the one
above them, SHA-256(0x01 || left || right); a node that is alone at the end of its level goes up as it is.

What that proves: this content under this name was entry ``index`` of a history whose head is ``size``:``root``. Compare
the head with one that you know from elsewhere: noted on another day (ask for ``proof?size=SIZE`` and give ``--head``),
or told by somebody else. The history behind a head cannot be changed without changing the head.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path


def main():
    arguments = argparse.ArgumentParser(description="Check that a file is a version in docsave's history.")
    arguments.add_argument("file")
    arguments.add_argument("proof")
    arguments.add_argument("--head", metavar="SIZE:ROOT", help="a head of the history that you know from elsewhere")
    given = arguments.parse_args()
    try:
        with Path(given.proof).open(encoding="utf-8") as file:
            proof = json.load(file)
        problem = problem_of(given.file, proof, given.head)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        problem = f"cannot be checked: {exc!r}"
    if problem:
        sys.exit(f"NOT PROVEN: {problem}")
    entry = proof["entry"]
    print(f"proven: version {entry['version']} of file {entry['id']}, {entry['name']!a}, of {entry['at']}")
    print(f"head: {proof['size']}:{proof['root']}")


def problem_of(path, proof, head=None):
    """What does not fit, in words; None when the file is proven."""
    entry = proof["entry"]
    if proof["format"] != "docsave-proof-1":
        return "this kind of proof is not known"
    spelled = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    leaf = hashlib.sha256(b"\x00" + spelled).digest()
    siblings = [bytes.fromhex(text) for text in proof["path"]]
    if root_of(leaf, proof["index"], proof["size"], siblings) != bytes.fromhex(proof["root"]):
        return "the entry is not in the history of which the proof gives the root"
    if entry["event_id"] != proof["index"] + 1:
        return "the entry is not at its own place in the history"
    if head is not None and head != f"{proof['size']}:{proof['root']}":
        return f"the head of the history is not the one you know but {proof['size']}:{proof['root']}"
    if entry["type"] == "File_delete":
        return "the entry is a deletion: it has no content"
    if size_and_hash(path) != (entry["size"], entry["sha256"]):
        return "the file is not the content of this version"
    return None


def root_of(node, index, size, siblings):
    """The root that the siblings lead to from a leaf; None when they cannot be its."""
    if not 0 <= index < size:
        return None
    left, last = list(siblings), size - 1
    while last > 0:
        if index % 2 or index < last:  # else it is alone at the end of its level, and goes up as it is
            if not left:
                return None
            sibling = left.pop(0)
            node = hashlib.sha256(b"\x01" + (sibling + node if index % 2 else node + sibling)).digest()
        index, last = index // 2, last // 2
    return None if left else node


def size_and_hash(path):
    digest, size = hashlib.sha256(), 0
    with Path(path).open("rb") as file:
        while piece := file.read(1024 * 1024):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


if __name__ == "__main__":
    main()
