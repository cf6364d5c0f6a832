"""``python -m backup.restore_command --to DIR …``: files out of the backup directory, without any service.

It ends with status 0 when all was restored, 1 when something could not be, which it names, and 2 for a wrong call.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backup.accounts import read_accounts
from backup.errors import describe
from backup.restore import Aside
from backup.restore_choice import Choice, Found, NoBackup, check_root, find, folder_of, place_of
from docsave_services.errors import DocsaveError
from docsave_services.runtime import environment as env

_out = Console(highlight=False, soft_wrap=True, markup=False)
_progress_console = Console(stderr=True)


def main(arguments: list[str]) -> None:
    """Restore as the arguments say."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version is not None and (options.file is None or options.at is not None):
        parser.error("--version is for one --file, and not together with --at")
    try:
        failures = Restoration(options).run()
    except (DocsaveError, NoBackup, env.EnvironmentProblem, OSError) as exc:
        sys.exit(f"restore: {' '.join(str(exc).split())}")
    sys.exit(1 if failures else 0)


class Restoration:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._root = Path(options.source or env.current()[env.BACKUP_DIR]).absolute()
        self._target = Path(options.to).absolute()
        self._counts: Counter[str] = Counter()
        self._bytes = 0

    def run(self) -> int:
        """How many files could not be restored."""
        check_root(self._root)
        self._check_target()
        accounts, bad = read_accounts(self._root)
        for path in bad:
            self._fail(path, "cannot be read")
        with progress_bar() as bar:
            choice = self._choice(bar)
            aside = Aside(self._root, self._target, accounts, self._options.dry_run)
            total = sum(1 for _ in choice.directories(self._root))
            task = bar.add_task("restoring", total=total)
            for found in find(self._root, choice):
                bar.update(task, advance=1)
                self._restore(aside, found)
            bar.update(task, completed=total)
        if choice.version is not None and not self._counts:
            self._fail(f"file {choice.file_id} v{choice.version}", "the backup has no such version")
        self._report()
        return self._counts["failed"]

    def _choice(self, bar: Progress) -> Choice:
        options = self._options
        place = None
        if options.at is not None:
            task = bar.add_task("finding the moment", total=None)
            place = place_of(self._root, options.at, lambda: bar.advance(task))
            bar.remove_task(task)
        return Choice(options.user, options.file, folder_of(options.folder), place, options.version)

    def _check_target(self) -> None:
        if self._target.exists() and not self._target.is_dir():
            raise NoBackup(f"{self._target} is not a directory")
        if self._root == self._target or self._root in self._target.parents:
            raise NoBackup("the backup directory itself is no place to restore to")
        if not self._options.force_merge and self._target.is_dir() and any(self._target.iterdir()):
            raise NoBackup(f"{self._target} is not empty; with --force-merge files are put beside what is there")

    def _restore(self, aside: Aside, found: Found) -> None:
        where = found.directory.relative_to(self._root)
        for version in found.unreadable:
            instead = "" if self._options.version else "; a version before it counts instead, if any"
            self._fail(f"{where} v{version}", f"the entry cannot be read{instead}")
        entry = found.entry
        if entry is None or entry.event is None:
            return
        if entry.thinned:
            self._fail(
                f"{where} v{entry.version} {entry.event['name']!r}", "version_thinned: a rule of retention gave it up"
            )
            return
        if not entry.has_content:
            self._counts["deleted"] += 1
            return
        try:
            restored = aside.restore(entry, entry.event)
        except (DocsaveError, OSError) as exc:
            self._fail(f"{where} v{entry.version} {entry.event['name']!r}", describe(exc))
            return
        self._counts["present" if restored.present else "restored"] += 1
        self._bytes += entry.event["size"]
        if self._options.dry_run:
            kept = "  (there already)" if restored.present else ""
            _out.print(f"{restored.path}  v{entry.version}  {entry.event['size']} bytes{kept}")

    def _fail(self, what: str, why: str) -> None:
        self._counts["failed"] += 1
        print(f"not restored: {what}: {why}", file=sys.stderr)

    def _report(self) -> None:
        done = "would restore" if self._options.dry_run else "restored"
        counts = self._counts
        _out.print(
            f"{done} {counts['restored']} files, {counts['present']} were there already, {self._bytes} bytes; "
            f"{counts['deleted']} were in the trash or removed; {counts['failed']} could not be restored"
        )


def progress_bar() -> Progress:
    """A bar on standard error; nothing where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=_progress_console, transient=True, disable=not _progress_console.is_terminal)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="restore", description="Files out of the backup directory, as plain files.")
    parser.add_argument("--to", required=True, metavar="DIR", help="where to; made if it is missing")
    parser.add_argument(
        "--from", dest="source", metavar="DIR", help="the backup directory; default as the settings say"
    )
    parser.add_argument("--user", type=int, metavar="ID", help="only this user's files")
    parser.add_argument("--file", type=int, metavar="ID", help="only this file")
    parser.add_argument("--version", type=int, metavar="N", help="with --file: this version, not the newest")
    parser.add_argument("--folder", default="", metavar="F", help="only this folder and what is below it")
    parser.add_argument("--at", metavar="MOMENT|CURSOR", help="as of then, such as 2026-11-24T10:00:00Z; default: now")
    parser.add_argument("--dry-run", action="store_true", help="print what would be restored, and write nothing")
    parser.add_argument("--force-merge", action="store_true", help="also into a directory that is not empty")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
