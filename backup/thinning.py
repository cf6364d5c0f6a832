"""Thinning of one file: versions that no rule keeps lose their content, step by step, so that any may be the last.

The entry stays, with its event and its place in the chain; a tombstone, ``v000001.thinned.json``, says when and by
which rules. The tombstone is durable before the first byte goes, and from then on the version counts as given up: what
a crash left behind is removed by the next look at the file. Only for the process that may write. Blocking.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from backup.catalogue import entries_of
from backup.compact import contents_of, made_at, make_plain
from backup.content import READ_ONLY, gives, never
from backup.freeing import free_plain
from backup.holds import Held, Holds
from backup.layout import Layout
from backup.names import patch_name, thinned_name
from backup.patch import room
from docsave_services.contracts import FileEvent
from docsave_services.domain.retention import Policy, Rules, described, kept
from docsave_services.storage.durable import fsync_directory, write_file
from docsave_services.times import to_text

FORMAT = "docsave-thinned-1"


@dataclass(slots=True)
class Thinned:
    """What retention did: versions given up and the bytes that freed; held: those that a hold kept; doubted: files left
    alone because something of them cannot be read (``verify`` names it)."""

    versions: int = 0
    freed_bytes: int = 0
    held: int = 0
    doubted: int = 0


@dataclass(frozen=True, slots=True)
class Victim:
    """A version that no rule keeps, and the rules that did not."""

    event: FileEvent
    rules: Rules


class FileThinning:
    """Thins the file in ``directory`` of the backup ``root`` by ``policy``, as seen at ``moment``.

    ``pause`` is called after each version, with nothing half done. ``Cancelled`` when ``cancelled`` says so.
    """

    def __init__(
        self,
        root: Path,
        directory: Path,
        policy: Policy,
        moment: datetime,
        tally: Thinned,
        cancelled: Callable[[], bool] = never,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._root = root
        self._directory = directory
        self._file_id = int(directory.name)
        self._policy = policy
        self._moment = moment
        self._tally = tally
        self._cancelled = cancelled
        self._pause = pause
        self._holds = Holds(root)

    def run(self) -> None:
        """Give up what no rule and no hold keeps, the oldest first: most of what depends on it is gone by then."""
        self._finish()
        for victim in self.victims():
            self._give_up(victim)
            self._pause()

    def victims(self) -> list[Victim]:
        """What would be given up now, oldest first. Nothing of a file with an entry that cannot be read, or content
        that has to stay and is not whole: of such a file every version may be needed."""
        entries = entries_of(self._file_id, self._directory)
        if not entries or not all(entry.is_own for entry in entries):
            self._tally.doubted += bool(entries)
            return []
        newest = entries[-1].event
        rules = self._policy.rules_for(newest.get("folder", "") if newest else "")
        if rules is None:
            return []
        contents = contents_of(self._directory)
        stay = kept([(number, made_at(event)) for number, event in contents.items()], rules, self._moment)
        held = self._held_now()
        found = [Victim(event, rules) for number, event in contents.items() if number not in stay]
        self._tally.held += sum(held.has(victim.event["version"]) for victim in found)
        victims = [victim for victim in found if not held.has(victim.event["version"])]
        gone = {victim.event["version"] for victim in victims}
        if victims and not self._are_whole(event for number, event in contents.items() if number not in gone):
            self._tally.doubted += 1
            return []
        return victims

    def _are_whole(self, events: Iterable[FileEvent]) -> bool:
        layout = Layout(self._directory)
        return all(
            gives(partial(layout.layers, event["version"]), event["sha256"], event["size"], self._cancelled)
            for event in events
        )

    def _give_up(self, victim: Victim) -> None:
        self._make_independent(victim.event["version"])
        with self._holds.locked():
            if self._held_now().has(victim.event["version"]):
                return
            write_file(self._directory / thinned_name(victim.event["version"]), self._tombstone(victim), READ_ONLY)
        self._tally.freed_bytes += self._remove_content(victim.event)
        self._tally.versions += 1

    def _held_now(self) -> Held:
        return self._holds.held(self._file_id)

    def _make_independent(self, version: int) -> None:
        """Make plain what is a patch against the version; compaction finds it another neighbour."""
        layout = Layout(self._directory)
        contents = contents_of(self._directory)
        for dependant in layout.dependants(version):
            if dependant in contents:
                self._tally.freed_bytes -= make_plain(layout, dependant, contents[dependant], self._cancelled)

    def _tombstone(self, victim: Victim) -> bytes:
        event = victim.event
        content = {
            "format": FORMAT,
            "version": event["version"],
            "sha256": event["sha256"],
            "size": event["size"],
            "thinned_at": to_text(self._moment),
            "rules": described(victim.rules),
        }
        return (json.dumps(content, indent=2) + "\n").encode()

    def _finish(self) -> None:
        """Remove the content of versions whose tombstone is there already."""
        layout = Layout(self._directory)
        for entry in entries_of(self._file_id, self._directory):
            left = layout.files(entry.version) or layout.side(entry.version)
            if entry.thinned and left and entry.event is not None and entry.is_own:
                self._remove_content(entry.event)

    def _remove_content(self, event: FileEvent) -> int:
        """Remove content and patch; how many bytes that freed."""
        layout, version, freed = Layout(self._directory), event["version"], 0
        plain, packed = layout.plain(version), layout.packed(version)
        if plain:
            freed += free_plain(self._root, plain, event)
        elif packed:
            freed += room(packed.stat().st_size) + room(1)
        for name in Layout(self._directory).files(version):
            (self._directory / name).unlink()
        (self._directory / patch_name(version)).unlink(missing_ok=True)
        fsync_directory(self._directory)
        return freed
