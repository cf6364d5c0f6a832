"""Files out of the backup directory alone, by the command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backup import restore_command
from backup.accounts import read_accounts, write_accounts
from backup.history import History
from backup.restore import numbered
from docsave_services.contracts import BACKUP_MARKER, UserDetails
from tests.support.journal import EPOCH, Journal
from tests.support.programs import ROOT
from tests.support.thinning import thin

EARLIER = "11111111-2222-4333-8444-000000000000"

ANNA: UserDetails = {
    "id": 3,
    "login": "an/na",
    "name": "Anna",
    "role": "user",
    "active": True,
    "quota_bytes": None,
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
}


class Result(NamedTuple):
    """What a command ended with and said."""

    returncode: int
    stdout: str
    stderr: str


class Backup:
    """A backup directory, and the command on it."""

    def __init__(self, directory: Path) -> None:
        self.journal = Journal(directory / "store")
        self.root = directory / "backup"
        self.root.mkdir()
        marker = {"store_id": "x", "epoch": EPOCH, "earlier": [{"epoch": EARLIER}]}
        (self.root / BACKUP_MARKER).write_text(json.dumps(marker))
        self.target = directory / "out"

    def save(self, content: bytes | None, **event: Any) -> dict[str, Any]:
        """One more version in the history."""
        made = self.journal.add(content, **event)
        History(self.root, self.journal.blobs).write(made)
        return dict(made)

    def restore(self, *arguments: str) -> Result:
        """Run the command, in this process."""
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                restore_command.main(["--to", str(self.target), "--from", str(self.root), *arguments])
            except SystemExit as exc:
                status = exc.code
        if isinstance(status, str):
            errors.write(f"{status}\n")
            status = 1
        return Result(int(status or 0), out.getvalue(), errors.getvalue())

    def restored(self) -> dict[str, bytes]:
        """What lies in the target."""
        return {str(p.relative_to(self.target)): p.read_bytes() for p in self.target.rglob("*") if p.is_file()}

    def copy(self, file_id: int, version: int) -> Path:
        """The content of a version."""
        [path] = self.root.glob(f"history/*/{file_id}/v{version:06d}_*")
        return path


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    return Backup(tmp_path)


def test_everything_comes_back_under_its_name(backup: Backup) -> None:
    """The newest version of each, in folders of users; safe names, numbered where two are the same; no deleted ones."""
    write_accounts(backup.root, [ANNA])
    backup.save(b"old", name="a.txt", folder="x/y")
    backup.save(b"new", name="a.txt", folder="x/y", version=2, type="File_update")
    backup.save(b"second", file_id=8, name="A.TXT", folder="x/y")
    backup.save(b"device", file_id=9, name="CON")
    backup.save(b"long", file_id=10, name="é" * 255)
    backup.save(b"file", file_id=11, name="x", folder="z")
    backup.save(b"in it", file_id=12, name="b", folder="z/x")
    backup.save(b"gone", file_id=13)
    backup.save(None, file_id=13, version=2)
    backup.save(b"other", file_id=14, user_id=4)
    result = backup.restore()
    assert result.returncode == 0, result.stderr
    assert "restored 7 files, 0 were there already" in result.stdout
    assert backup.restored() == {
        "3_an_na/x/y/a.txt": b"new",
        "3_an_na/x/y/A (2).TXT": b"second",
        "3_an_na/CON_": b"device",
        f"3_an_na/{'é' * 127}": b"long",
        "3_an_na/z/x": b"file",
        "3_an_na/z/x (2)/b": b"in it",
        "4/report.pdf": b"other",
    }
    assert (backup.target / "3_an_na/z/x").stat().st_mode & 0o777 == 0o640


def test_only_what_was_chosen_as_of_when(backup: Backup) -> None:
    """By user, file, folder; by moment and by cursor, also one of the journal before a rebuild."""
    backup.save(b"1", name="one", folder="f", at="2026-01-01T10:00:00Z")
    backup.save(b"2", name="two", file_id=8, user_id=4, folder="f/g", at="2026-01-01T12:00:00Z")
    backup.save(b"3", name="one", version=2, folder="ff", at="2026-01-01T11:00:00Z")  # a clock that was behind
    backup.save(b"4", name="one", version=3, folder="f", at="2026-01-01T13:00:00Z")

    def names(*arguments: str) -> list[str]:
        result = backup.restore("--dry-run", *arguments)
        assert result.returncode == 0, result.stderr
        assert not backup.target.exists()
        return [line.split("  ")[0] for line in result.stdout.splitlines()[:-1]]

    assert names() == ["3/f/one", "4/f/g/two"]
    assert names("--user", "4") == names("--file", "8") == ["4/f/g/two"]
    assert names("--folder", "/f/g") == ["4/f/g/two"]
    assert names("--at", "2026-01-01T10:30:00Z") == names("--at", "2026-01-01T10:30Z") == ["3/f/one"]
    assert names("--at", "2026-01-01T11:30:00Z") == ["3/ff/one", "4/f/g/two"]
    assert names("--at", f"{EPOCH}:1") == names("--at", f"{EARLIER}:1") == ["3/f/one"]
    assert names("--at", f"{EPOCH}:2", "--folder", "f") == ["3/f/one", "4/f/g/two"]
    assert names("--at", f"{EPOCH}:0") == []


def test_one_version_alone(backup: Backup) -> None:
    """Under the name and in the folder that it had; one that is not there, or cannot be read, is named."""
    backup.save(b"1", name="one", folder="f")
    backup.save(b"2", name="two", version=2)
    backup.save(None, version=3)
    assert backup.restore("--file", "7", "--version", "1").returncode == 0
    assert backup.restored() == {"3/f/one": b"1"}
    assert "1 were in the trash" in backup.restore("--file", "7", "--version", "3", "--force-merge").stdout
    for file_id in ("7", "8"):
        missing = backup.restore("--file", file_id, "--version", "4", "--force-merge")
        assert (missing.returncode, "has no such version" in missing.stderr) == (1, True)
    entry = backup.copy(7, 2).with_name("v000002.json")
    entry.chmod(0o600)
    entry.write_text("{")
    unread = backup.restore("--file", "7", "--version", "2", "--force-merge")
    assert (unread.returncode, "v2: the entry cannot be read\n" in unread.stderr) == (1, True)
    for arguments in (["--version", "1"], ["--file", "7", "--version", "1", "--at", f"{EPOCH}:1"]):
        assert backup.restore(*arguments).returncode == 2
    assert backup.restored() == {"3/f/one": b"1"}


def test_what_a_rule_gave_up_is_named_and_the_rest_comes_back(backup: Backup) -> None:
    """The newest as ever; as of a moment whose version was thinned the file is named as not to be had."""
    for version in (1, 2, 3):
        backup.save(f"content {version}".encode(), version=version)
    thin(backup.root, "keep-last=1")
    assert backup.restore().returncode == 0
    assert backup.restored() == {"3/report.pdf": b"content 3"}
    then = backup.restore("--at", f"{EPOCH}:2", "--to", str(backup.target / "then"))
    assert then.returncode == 1
    assert "thinned" in then.stdout + then.stderr


def test_a_bad_copy_is_replaced_by_its_object_or_named(backup: Backup) -> None:
    """Content that does not match its hash is never restored; the others are, and the status says it."""
    backup.save(b"good", name="good")
    lost = backup.save(b"bad!", file_id=8, name="bad")
    unread = backup.save(b"unread", file_id=9, name="unread")
    backup.save(b"gone", file_id=10, name="gone")
    for file_id in (7, 8):
        copy = backup.copy(file_id, 1)
        copy.unlink()
        copy.write_bytes(b"evil")
    item = backup.root / "objects" / lost["path"]
    item.unlink()
    item.write_bytes(b"evil")
    entry = backup.copy(9, 1).with_name("v000001.json")
    entry.chmod(0o600)
    entry.write_text("{")
    backup.copy(10, 1).unlink()
    (backup.root / "objects" / backup.journal.events[3]["path"]).unlink()
    result = backup.restore()
    assert result.returncode == 1
    assert backup.restored() == {"3/good": b"good"}
    assert "history/3/8 v1 'bad': blob_damaged" in result.stderr
    assert f"history/3/{unread['id']} v1: the entry cannot be read" in result.stderr
    assert "history/3/10 v1 'gone': blob_missing" in result.stderr
    assert [p.name for p in backup.target.rglob(".tmp-*")] == []


def test_nothing_that_is_there_is_overwritten(backup: Backup) -> None:
    """A directory that is not empty is refused; with --force-merge what is there stays, and is not put there twice."""
    backup.save(b"mine", name="a.txt")
    backup.save(b"b", file_id=8, name="b.txt")
    (backup.target / "3").mkdir(parents=True)
    (backup.target / "3" / "a.txt").write_bytes(b"yours")
    refused = backup.restore()
    assert (refused.returncode, "is not empty" in refused.stderr) == (1, True)
    expected = {"3/a.txt": b"yours", "3/a (2).txt": b"mine", "3/b.txt": b"b"}
    for restored, present in ((2, 0), (0, 2)):
        result = backup.restore("--force-merge")
        assert f"restored {restored} files, {present} were there already" in result.stdout
        assert backup.restored() == expected
    (backup.target / "3" / "b.txt").unlink()
    (backup.target / "3" / "b.txt").symlink_to(backup.root)
    backup.restore("--force-merge")
    assert (backup.target / "3" / "b (2).txt").read_bytes() == b"b"


def test_it_is_a_command_of_its_own(backup: Backup) -> None:
    """Started as the Makefile starts it, with the directory from the settings."""
    backup.save(b"a")
    command = [sys.executable, "-m", "backup.restore_command", "--to", str(backup.target)]
    environment = {**os.environ, "DOCSAVE_BACKUP_DIR": str(backup.root)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert backup.restored() == {"3/report.pdf": b"a"}


def test_a_wrong_call_says_what_is_wrong(backup: Backup) -> None:
    """One line, no traceback, nothing written."""
    backup.save(b"a")
    for arguments, words in (
        (["--at", "yesterday"], "RFC 3339"),
        (["--at", "99999999-2222-4333-8444-555555555555:1"], "another journal"),
        (["--folder", "a//b"], "folder"),
        (["--from", "/nowhere"], BACKUP_MARKER),
        (["--to", str(backup.root / "history")], "no place to restore to"),
    ):
        result = backup.restore(*arguments)
        assert (result.returncode, words in result.stderr, result.stderr.count("\n")) == (1, True, 1), result.stderr
        assert not backup.target.exists()


def test_numbers_stand_before_the_extension() -> None:
    """And fit into what a file name may have."""
    assert [numbered(n, 2) for n in ("a.txt", "a", ".x", "a.tar.gz")] == [
        "a (2).txt",
        "a (2)",
        "_x (2)",
        "a.tar (2).gz",
    ]
    assert len(numbered("é" * 200 + ".txt", 12).encode()) <= 255
    assert numbered("é" * 200 + ".txt", 12).endswith(" (12).txt")


def test_accounts_are_kept_as_they_are_now(tmp_path: Path) -> None:
    """Written only when they changed; one that cannot be read is named and spoils no other."""
    boris: UserDetails = {**ANNA, "id": 4, "login": "borís", "quota_bytes": 5}
    assert write_accounts(tmp_path, [ANNA, boris]) == 2
    assert write_accounts(tmp_path, [ANNA, {**boris, "active": False}]) == 1
    accounts, bad = read_accounts(tmp_path)
    assert (accounts, bad) == ({3: ANNA, 4: {**boris, "active": False}}, [])
    (tmp_path / "accounts" / "3.json").write_text('{"id": 3}')
    assert read_accounts(tmp_path) == ({4: {**boris, "active": False}}, ["accounts/3.json"])
