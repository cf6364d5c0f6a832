"""``python -m backup.fetch_command --to DIR``: the backup in the bucket of the settings as a backup directory.

Ends with 0 when all of it came, 1 when something in the bucket is damaged (it is named), 2 when it could not be done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from nameko.exceptions import ConfigurationError

from backup.errors import describe
from backup.fetch import CannotFetch, Fetch, Fetched
from backup.restore_command import progress_bar
from backup.targets.bucket_store import BucketStore
from backup.targets.target import TargetAway
from docsave_services.runtime import environment as env
from docsave_services.settings import BucketSettings

SOUND, DAMAGED, FAILED = 0, 1, 2
SHOWN_MAX = 100
DEFAULT_REGION = "us-east-1"


def main(arguments: list[str]) -> int:
    """Fetch as the arguments say; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        root = options.to.absolute()
        store = BucketStore(bucket_of(env.current()))
        with progress_bar() as bar:
            task = bar.add_task("fetching", total=None)
            fetched = Fetch(store, root).run(lambda count: bar.advance(task, count))
    except (CannotFetch, ConfigurationError, TargetAway, env.EnvironmentProblem) as exc:
        print(f"fetch: {exc}", file=sys.stderr)
        return FAILED
    except OSError as exc:
        print(f"fetch: {describe(exc)}", file=sys.stderr)
        return FAILED
    _tell(fetched, root)
    return DAMAGED if fetched.problems else SOUND


def bucket_of(resolved: Mapping[str, str]) -> BucketSettings:
    """The bucket that the environment names. ``CannotFetch`` when it names none."""
    text = {
        f"backup_s3_{name.lower()}": resolved.get(f"DOCSAVE_BACKUP_S3_{name}", "")
        for name in ("URL", "ENDPOINT", "REGION", "KEY_ID", "SECRET")
    }
    settings = BucketSettings.from_text({**text, "backup_s3_region": text["backup_s3_region"] or DEFAULT_REGION})
    if settings is None:
        raise CannotFetch("DOCSAVE_BACKUP_S3_URL is not set")
    return settings


def _tell(fetched: Fetched, root: Path) -> None:
    for problem in fetched.problems[:SHOWN_MAX]:
        print(problem, file=sys.stderr)
    if len(fetched.problems) > SHOWN_MAX:
        print(f"and {len(fetched.problems) - SHOWN_MAX} more", file=sys.stderr)
    print(f"fetched {fetched.entries} entries into {root}; {len(fetched.problems)} problems")
    print(f'Next: make rebuild ARGS="--from {root}"')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fetch", description="The backup in the bucket as a backup directory.")
    parser.add_argument(
        "--to", required=True, type=Path, metavar="DIR", help="an empty directory, or one to go on with"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
