"""Proofs: what the backup gives is checked by the script and by the client, and nothing else passes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup.chain import Proof
from backup.chain_log import ENTRIES_LOG, LINE_BYTES, ChainView
from backup.home import Home
from backup.proof import proof_of
from docsave_client.cli.main import main as docsave
from docsave_services.errors import BlobDamaged, InvalidInput, NotFound
from tests.support.chained import back_up
from tests.support.journal import Journal
from tests.support.programs import ROOT

CONTENT = b"the third of twelve"
NAME = "Bericht für Zoë \U0001f600.pdf"

Check = Callable[[Path, Path, str | None], tuple[int, str]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen entries; the third is the one that is proven."""
    directory = tmp_path_factory.mktemp("proofs")
    journal = Journal(directory / "store")
    for number in range(1, 13):
        content = CONTENT if number == 3 else b"%d" % number
        journal.add(content, file_id=number, name=NAME, labels={"k": "é"})
    journal.add(None, file_id=3, version=2)
    home = Home(directory / "backup", directory)
    home.root.mkdir()
    home.initialise(journal.epoch)
    back_up(home.root, journal)
    return home.root


def by_script(file: Path, proof: Path, head: str | None = None) -> tuple[int, str]:
    """The stand-alone script, without this project on its path."""
    script = str(ROOT / "docs/examples/verify_proof.py")
    command = [sys.executable, "-I", script, str(file), str(proof), *(["--head", head] if head else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=20, check=False)
    return done.returncode, done.stdout + done.stderr


def by_client(file: Path, proof: Path, head: str | None = None) -> tuple[int, str]:
    """``docsave verify-proof``."""
    return docsave(["verify-proof", str(file), str(proof), *(["--head", head] if head else [])]), ""


checks = pytest.mark.parametrize("check", [by_script, by_client])


def written(tmp_path: Path, proof: Any, content: bytes = CONTENT) -> tuple[Path, Path]:
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "proof").write_text(proof if isinstance(proof, str) else json.dumps(proof))
    return tmp_path / "file", tmp_path / "proof"


@checks
def test_a_version_is_proven_against_every_head_since(root: Path, tmp_path: Path, check: Check) -> None:
    """The latest by default; an earlier one that somebody noted, and no other."""
    latest = proof_of(root, 3, 1)
    assert (latest["size"], latest["root"], len(latest["path"])) == (13, ChainView(root).head()["root"], 4)
    for size in (None, 3, 4, 8, 12):
        proof = proof_of(root, 3, 1, size)
        head = f"{proof['size']}:{proof['root']}"
        status, output = check(*written(tmp_path, proof), head)
        assert status == 0, output
        assert proof["root"] == ChainView(root).head(size)["root"]
    assert check(*written(tmp_path, proof), f"13:{proof['root']}")[0] != 0
    assert check(*written(tmp_path, latest), None)[0] == 0


def other_path(proof: Proof) -> None:
    proof["path"][0] = proof["path"][1]


@checks
@pytest.mark.parametrize(
    "change",
    [
        lambda proof: proof["entry"].update(name="other.pdf"),
        lambda proof: proof["entry"].update(at="2020-01-01T00:00:00Z"),
        lambda proof: proof["entry"].update(more=1),
        lambda proof: proof["entry"].pop("previous"),
        lambda proof: proof.update(index=3),
        lambda proof: proof.update(size=8),
        lambda proof: proof.update(root="0" * 64),
        lambda proof: proof["path"].pop(),
        lambda proof: proof["path"].append("0" * 64),
        lambda proof: proof.update(format="other"),
        other_path,
    ],
)
def test_a_changed_proof_proves_nothing(root: Path, tmp_path: Path, check: Check, change: Any) -> None:
    """Every part of it counts."""
    proof = proof_of(root, 3, 1)
    change(proof)
    assert check(*written(tmp_path, proof), None)[0] != 0


@checks
@pytest.mark.parametrize("content", [b"the thirD of twelve", b"", CONTENT + b"\n"])
def test_other_content_is_not_proven(root: Path, tmp_path: Path, check: Check, content: bytes) -> None:
    """One bit, nothing, or one byte more."""
    assert check(*written(tmp_path, proof_of(root, 3, 1), content), None)[0] != 0


@checks
@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": "docsave-proof-1", "entry": 5}'])
def test_what_is_no_proof_is_said_to_be_none(tmp_path: Path, check: Check, text: str) -> None:
    """In words; never a traceback."""
    status, output = check(*written(tmp_path, text), None)
    assert status != 0
    assert "Traceback" not in output


def test_a_deletion_is_proven_without_content(root: Path, tmp_path: Path) -> None:
    """Its proof leads to the root; but no file is its content."""
    proof = proof_of(root, 3, 2)
    assert proof["entry"]["type"] == "File_delete"
    assert by_script(*written(tmp_path, proof, b""))[1].startswith("NOT PROVEN: the entry is a deletion")


def test_what_cannot_be_proven_is_an_error_with_a_name(root: Path) -> None:
    """Unknown, later than the head asked for, or a head that never was."""
    for file_id, version, size in [(3, 3, None), (99, 1, None), (12, 1, 11)]:
        with pytest.raises(NotFound):
            proof_of(root, file_id, version, size)
    for size in (0, 14):
        with pytest.raises(InvalidInput):
            proof_of(root, 3, 1, size)


def test_nothing_is_proven_of_a_changed_entry(root: Path) -> None:
    """Nor while a line of its block is damaged."""
    path = root / "history/3/5/v000001.json"
    path.chmod(0o644)
    before = path.read_text()
    path.write_text(before.replace("Bericht", "bericht"))
    with pytest.raises(BlobDamaged):
        proof_of(root, 5, 1)
    path.write_text(before)
    assert proof_of(root, 5, 1)["index"] == 4
    log = (root / ENTRIES_LOG).read_bytes()
    (root / ENTRIES_LOG).write_bytes(log[: 7 * LINE_BYTES] + b"x" + log[7 * LINE_BYTES + 1 :])
    with pytest.raises(BlobDamaged):
        proof_of(root, 5, 1)
    (root / ENTRIES_LOG).write_bytes(log)
