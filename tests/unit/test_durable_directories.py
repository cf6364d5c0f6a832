"""Directories that survive a power cut: each is made sure of once in a process, and costs little memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from docsave_services.storage import durable
from docsave_services.storage.durable import DurableDirectories

BYTES_MAX = 150
"""A name of some 15 characters and its place in a set; a path object takes five times as much."""


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that are synced from here on."""
    seen: list[Path] = []
    really = durable.fsync_directory
    monkeypatch.setattr(durable, "fsync_directory", lambda path: (seen.append(path), really(path)))
    return seen


def test_all_between_the_root_and_it_are_synced_once(tmp_path: Path, synced: list[Path]) -> None:
    """The second time nothing is left to do."""
    directories = DurableDirectories(tmp_path)
    directories.make(tmp_path / "ab" / "cd")
    assert synced == [tmp_path, tmp_path / "ab"]
    directories.make(tmp_path / "ab" / "cd")
    directories.make(tmp_path)
    assert len(synced) == 2
    directories.make(tmp_path / "ab" / "ce")
    assert synced[2:] == [tmp_path / "ab"]


def test_one_that_is_there_already_is_synced_too(tmp_path: Path, synced: list[Path]) -> None:
    """Whoever made it may have been killed before they did."""
    (tmp_path / "ab").mkdir()
    DurableDirectories(tmp_path).make(tmp_path / "ab")
    assert synced == [tmp_path]


def test_one_that_was_removed_is_made_again(tmp_path: Path, synced: list[Path]) -> None:
    """And synced."""
    directories = DurableDirectories(tmp_path)
    directories.make(tmp_path / "ab")
    (tmp_path / "ab").rmdir()
    directories.make(tmp_path / "ab")
    assert (tmp_path / "ab").is_dir()
    assert synced == [tmp_path, tmp_path]


def test_memory_of_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store has 65,792 directories, a history one for each file: so many were 70 MB once."""
    monkeypatch.setattr(durable, "fsync_directory", lambda path: None)
    directories = DurableDirectories(tmp_path)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1000):
            directories.make(tmp_path / "history" / "9" / str(number))
        each = (tracemalloc.get_traced_memory()[0] - before) / 1000
    finally:
        tracemalloc.stop()
    assert each < BYTES_MAX
