"""The command line of verify: what it prints, how it ends, and what it repairs without a running docsave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backup.home import Home
from tests.support.chained import back_up
from tests.support.journal import Journal
from tests.support.programs import ROOT


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A directory with two files, marked as ours, its data beside it."""
    journal = Journal(tmp_path / "data")
    journal.add(b"one", file_id=1)
    journal.add(b"two", file_id=2, name="[red]two")
    home = Home(tmp_path / "backups", tmp_path / "data")
    home.root.mkdir()
    home.adopt(home.initialise(journal.epoch))
    back_up(home.root, journal)
    return home


def verify(home: Home, *arguments: str) -> tuple[int, str]:
    """Status and output of the command; the broker is not there."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DOCSAVE_")}
    environment |= {"DOCSAVE_BACKUP_DIR": str(home.root), "DOCSAVE_DATA_DIR": str(home.data_dir)}
    command = [sys.executable, "-m", "backup.verify_command", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def damage(home: Home, file_id: int) -> Path:
    content = next(home.root.glob(f"history/3/{file_id}/v000001_*"))
    content.chmod(0o644)
    content.write_bytes(b"bad")
    return content


def test_a_sound_backup_ends_with_0_and_its_head(home: Home) -> None:
    """The figures, the head, and a progress bar while it reads."""
    status, output = verify(home)
    assert status == 0
    assert "2 entries, 0.0 MB read, 0 damaged, 0 missing, 0 repaired, 0 not in the chain yet" in output
    assert "head of the chain: 2 entries, " in output
    assert "100%" in output
    assert (home.data_dir / "backup-head.json").exists()


def test_what_is_found_is_named_and_ends_with_1(home: Home) -> None:
    """Each bad item in a line of its own, whatever its name looks like."""
    damage(home, 2)
    next(home.root.glob("history/3/1/v000001.json")).unlink()
    status, output = verify(home)
    assert status == 1
    content = next((home.root / "history/3/2").glob("v000001_*")).name
    assert f"history/3/2/{content}: file 2 version 1: the content does not match its hash\n" in output
    assert "history/3/1/v000001.json: file 1 version 1: no entry for this version\n" in output


def test_repair_works_without_a_running_docsave(home: Home) -> None:
    """It takes the lock of the service, which is then not running."""
    content = damage(home, 2)
    status, output = verify(home, "--repair")
    assert (status, "repaired: history/3/2/" in output) == (0, True)
    assert content.read_bytes() == b"two"
    assert verify(home)[0] == 0


def test_a_mirror_is_repaired_from(home: Home, tmp_path: Path) -> None:
    """Its directory is taken from the settings, or named; what it has needs neither the store nor a journal."""
    mirror = tmp_path / "mirror"
    shutil.copytree(home.root, mirror)
    content = damage(home, 2)
    shutil.rmtree(home.root / "objects")
    for blob in home.data_dir.glob("blobs/??/??/*"):
        blob.unlink()
    next(home.root.glob("history/3/1/v000001.json")).unlink()
    status, output = verify(home, "--repair", "--mirror-dir", str(mirror))
    assert "v000001.json: the event was written again from the mirror" in output
    assert (status, content.read_bytes()) == (0, b"two"), output


def test_it_ends_with_2_when_it_cannot_look(home: Home, tmp_path: Path) -> None:
    """No backup directory; or a running docsave that it does not know how to ask."""
    lock = home.lock()
    assert lock
    status, output = verify(home, "--repair")
    assert (status, "docsave is running" in output) == (2, True)
    lock.release()
    status, output = verify(Home(tmp_path / "nothing", home.data_dir))
    assert (status, "marker" in output) == (2, True)
    assert "Traceback" not in output
