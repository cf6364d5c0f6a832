"""``python -m backup.rebuild_command --from DIR``: docsave from its backup directory alone.

It fills the data directory and the database of the settings, which must be empty. It ends with status 0 when all of
the directory came back, 1 when it did but for what it names, or when it refused to begin.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from backup.errors import Refused
from backup.rebuild import NotEmpty, Rebuild, Rebuilt
from backup.restore_choice import NoBackup
from backup.restore_command import progress_bar
from docsave_services.errors import DocsaveError
from docsave_services.runtime import environment as env
from docsave_services.runtime.refounding import Ground
from docsave_services.storage.durable import write_file
from docsave_services.times import now, to_text

REPORT = "rebuilt.json"
"""In the data directory: what the rebuild did and could not do."""

SHOWN_MAX = 100

NEXT_STEPS = """Next:
  1. {run}make run
  2. in another terminal, a password for an administrator:
     {at}make accounts ARGS="reset-password LOGIN --generate"
     (all accounts are back with their logins, and no password: give each one the same way; make accounts
     ARGS="create-admin LOGIN" makes an administrator if none came back)
  3. tell people; sessions, API keys and webhooks have to be made again"""
"""The settings that are not the default stand before each command: without them it would take other directories."""


def main(arguments: list[str]) -> None:
    """Rebuild as the arguments say."""
    options = _parser().parse_args(arguments)
    try:
        resolved = env.current()
        root = Path(options.source or resolved[env.BACKUP_DIR]).absolute()
        data_dir = Path(resolved[env.DATA_DIR])
        with progress_bar() as bar, Ground.of_settings(resolved) as ground:
            task = bar.add_task("rebuilding", total=None)
            rebuilt = Rebuild(root, data_dir, ground).run(lambda: bar.advance(task))
        _keep(rebuilt, data_dir, root)
    except (DocsaveError, NoBackup, NotEmpty, Refused, env.EnvironmentProblem, OSError) as exc:
        sys.exit(f"rebuild: {' '.join(str(exc).split())}")
    _tell(rebuilt)
    print(next_steps(root, data_dir))
    sys.exit(1 if rebuilt.problems else 0)


def _keep(rebuilt: Rebuilt, data_dir: Path, root: Path) -> None:
    report = {"at": to_text(now()), "from": str(root), **asdict(rebuilt)}
    write_file(data_dir / REPORT, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())


def _tell(rebuilt: Rebuilt) -> None:
    for problem in rebuilt.problems[:SHOWN_MAX]:
        print(problem, file=sys.stderr)
    if len(rebuilt.problems) > SHOWN_MAX:
        print(f"and {len(rebuilt.problems) - SHOWN_MAX} more, in {REPORT}", file=sys.stderr)
    founded = rebuilt.founded
    print(
        f"rebuilt {founded.files} documents ({founded.trashed} in the trash; {founded.removed} more were removed for "
        f"good), {founded.users} accounts, {founded.events} changes; "
        f"{rebuilt.contents} contents, {rebuilt.bytes} bytes; {len(rebuilt.problems)} problems"
    )


def next_steps(root: Path, data_dir: Path) -> str:
    """What to do after a rebuild from ``root`` into ``data_dir``."""
    at = _unless_default(env.DATA_DIR, data_dir, "data")
    return NEXT_STEPS.format(run=_unless_default(env.BACKUP_DIR, root, "backups") + at, at=at)


def _unless_default(variable: str, directory: Path, default: str) -> str:
    return "" if directory == env.ROOT / default else f"{variable}={shlex.quote(str(directory))} "


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rebuild", description="docsave from its backup directory alone.")
    parser.add_argument("--from", dest="source", metavar="DIR", help="the backup directory; default: the settings'")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
