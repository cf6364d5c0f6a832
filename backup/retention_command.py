"""``python -m backup.retention_command``: what retention would give up, and having it done.

With ``--dry-run`` it reads the directory and lists what would go now. Without, it asks the running docsave, or does it
here when none runs. Ends with 0, or 2 when it could not look or the clock is in doubt.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.filesize import decimal

from backup.catalogue import file_directories
from backup.errors import Refused, describe
from backup.home import Home
from backup.retention import Retention
from backup.thinning import Victim
from docsave_services.domain.retention import Policy, RetentionProblem, described, parse_policy
from docsave_services.errors import DocsaveError

DONE, FAILED = 0, 2


class Impossible(Exception):
    """Nothing could be done; the text says why."""


def main(arguments: list[str]) -> int:
    """Do what was asked for, and give the exit status."""
    options = _parser().parse_args(arguments)
    console, errors = Console(soft_wrap=True, highlight=False), Console(stderr=True, soft_wrap=True)
    home = Home(options.backup_dir.absolute(), options.data_dir.absolute())
    try:
        policy = parse_policy(options.rules)
        if not policy:
            console.print("no rules (DOCSAVE_RETENTION): every version is kept")
            return DONE
        if options.dry_run:
            _tell(console, home, policy)
        else:
            _apply(console, home, policy, options)
    except (Impossible, Refused, RetentionProblem, DocsaveError, OSError) as exc:
        known = isinstance(exc, Impossible | Refused | RetentionProblem)
        errors.print(f"retention: {exc if known else describe(exc)}", markup=False)
        return FAILED
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="retention", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="list what would go, and change nothing")
    parser.add_argument("--trust-clock", action="store_true", help="the clock is right, although it jumped")
    parser.add_argument(
        "--rules", default=os.environ.get("DOCSAVE_RETENTION", ""), help="others than DOCSAVE_RETENTION"
    )
    for name, default in (("backup-dir", "./backups"), ("data-dir", "./data")):
        variable = f"DOCSAVE_{name.upper().replace('-', '_')}"
        parser.add_argument(f"--{name}", type=Path, default=Path(os.environ.get(variable) or default))
    parser.add_argument("--amqp-uri", default=os.environ.get("DOCSAVE_AMQP_URI"), help="of the running docsave")
    return parser


def _victims(home: Home, policy: Policy) -> Iterator[Victim]:
    retention = Retention(home.root, policy)
    for _, directory in file_directories(home.root):
        yield from retention.victims(directory)


def _tell(console: Console, home: Home, policy: Policy) -> None:
    home.require_marker()
    count = size = 0
    for victim in _victims(home, policy):
        event = victim.event
        count, size = count + 1, size + event["size"]
        place = f"user {event['user_id']} file {event['id']} version {event['version']}"
        text = (
            f"{place} of {event['at']}, {decimal(event['size'])}, {event['name']!r}: not in {described(victim.rules)}"
        )
        console.print(text, markup=False)
    console.print(f"{count} versions of {decimal(size)} would go")


def _apply(console: Console, home: Home, policy: Policy, options: argparse.Namespace) -> None:
    home.require_marker()
    lock = home.lock()
    if lock is None:
        if not options.amqp_uri:
            raise Impossible("docsave is running and must do it itself: give its --amqp-uri, or stop it")
        if options.rules != os.environ.get("DOCSAVE_RETENTION", ""):
            raise Impossible("a running docsave applies its own rules: --rules is for --dry-run, and for a stopped one")
        _ask_service(options.amqp_uri, options.trust_clock)
        console.print('asked; nameko shell: n.rpc.backup.status()["retention"] tells what was done')
        return
    try:
        tally = _apply_here(home, policy, options.trust_clock)
    finally:
        lock.release()
    console.print(
        f"{tally.versions} versions thinned, {decimal(max(tally.freed_bytes, 0))} freed, {tally.held} held, "
        f"{tally.doubted} files in doubt"
    )


def _apply_here(home: Home, policy: Policy, trust_clock: bool) -> Any:
    retention, seal = Retention(home.root, policy), home.seal()
    if not retention.begin(asked=True, trust_clock=trust_clock):
        raise Impossible("the clock jumped since the last time; if it is right now: --trust-clock")
    for _, directory in file_directories(home.root):
        seal()
        retention.apply(directory)
    return retention.tally


def _ask_service(amqp_uri: str, trust_clock: bool) -> None:
    from nameko.standalone.rpc import ClusterRpcProxy  # it starts eventlet, which the reading here does not want

    with ClusterRpcProxy({"AMQP_URI": amqp_uri}, timeout=10) as proxy:
        proxy.backup.retain(trust_clock=trust_clock)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
