"""``python -m backup.verify_command``: read the whole backup again, with or without a running docsave.

Ends with 0 when all is sound, 1 when something was found and is not repaired, 2 when it could not look.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from backup.errors import Refused, describe
from backup.history import History
from backup.home import Home, Lock
from backup.noted_head import note_head, noted_head
from backup.progress import read_place
from backup.repair import Repair, lines_of
from backup.verify import Report, Verification, all_findings, is_chain_sound, is_sound
from docsave_services.errors import DocsaveError
from docsave_services.storage import BlobStore

LOOK_SECONDS = 0.2
SOUND, FOUND, FAILED = 0, 1, 2

Look = Callable[[int, int, int], None]
"""Hears how many entries were checked, of how many, and the bytes read."""


class Impossible(Exception):
    """Nothing could be verified; the text says why."""


def main(arguments: list[str]) -> int:
    """Verify, print what was found, and give the exit status."""
    options = _parser().parse_args(arguments)
    console, errors = Console(), Console(stderr=True)
    home = Home(options.backup_dir.absolute(), options.data_dir.absolute())
    try:
        with Progress(
            TextColumn("{task.completed} entries"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=errors,
        ) as progress:
            report = _verify(home, options, _bar(progress))
    except (Impossible, Refused, DocsaveError, OSError) as exc:
        errors.print(f"verify: {exc if isinstance(exc, Impossible | Refused) else describe(exc)}", markup=False)
        return FAILED
    _tell(console, report)
    return SOUND if is_sound(report) else FOUND


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="verify", description=__doc__)
    parser.add_argument("--repair", action="store_true", help="put right what something whole is left of")
    for name, default in (("backup-dir", "./backups"), ("data-dir", "./data")):
        variable = f"DOCSAVE_{name.upper().replace('-', '_')}"
        parser.add_argument(f"--{name}", type=Path, default=Path(os.environ.get(variable) or default))
    mirror = os.environ.get("DOCSAVE_BACKUP_MIRROR_DIR")
    parser.add_argument("--mirror-dir", type=Path, default=mirror and Path(mirror), help="to repair from, too")
    parser.add_argument("--amqp-uri", default=os.environ.get("DOCSAVE_AMQP_URI"), help="of the running docsave")
    return parser


def _bar(progress: Progress) -> Look:
    task = progress.add_task("", total=None)

    def look(checked: int, of: int, read: int) -> None:
        # The bar is of entries: how many there are is known beforehand.
        progress.update(task, total=of or None, completed=checked, description=f"{read / 1e6:.0f} MB read")

    return look


def _verify(home: Home, options: argparse.Namespace, look: Look) -> Report:
    if not options.repair:
        return _read(home, look, None)
    home.require_marker()
    lock = home.lock()
    if lock is None:
        if not options.amqp_uri:
            raise Impossible("docsave is running and must repair itself: give its --amqp-uri, or stop it")
        return _ask_service(options.amqp_uri, look)
    try:
        return _read(home, look, lock, [options.mirror_dir.absolute()] if options.mirror_dir else [])
    finally:
        lock.release()


def _read(home: Home, look: Look, lock: Lock | None, mirrors: Sequence[Path] = ()) -> Report:
    """Read the directory here; with its lock, repair. Events only a mirror or the journal of a running docsave has."""
    marker = home.require_marker()
    copied = read_place(home.root, marker.epoch).copied
    blobs = BlobStore(home.data_dir / "blobs")
    noted = noted_head(home.data_dir, marker.store_id)
    verification = Verification(home.root, copied=copied, noted=noted, blobs=blobs if lock else None)
    report: Report = _in_thread(verification.run, lambda: look(*_progress(verification)))
    if lock:
        lines = lines_of(home.root, report)
        Repair(History(home.root, blobs, home.seal()), blobs, lines, {}, mirrors=mirrors).run(report)
    if report["head"] and is_chain_sound(report) and os.access(home.data_dir, os.W_OK):
        note_head(home.data_dir, marker.store_id, report["head"])
    return report


def _progress(verification: Verification) -> tuple[int, int, int]:
    return verification.report["checked"], verification.total, verification.report["bytes"]


def _ask_service(amqp_uri: str, look: Look) -> Report:
    from nameko.standalone.rpc import ClusterRpcProxy  # it starts eventlet, which the reading here does not want

    config = {"AMQP_URI": amqp_uri}

    def verify() -> Report:
        with ClusterRpcProxy(config) as proxy:
            return proxy.backup.verify(repair=True)  # type: ignore[no-any-return]

    def ask() -> None:
        with ClusterRpcProxy(config, timeout=5) as proxy:
            verified = proxy.backup.status()["verified"]
        if verified:
            look(verified["checked"], verified["of"], verified["bytes"])

    report: Report = _in_thread(verify, ask)
    return report


def _in_thread(work: Callable[[], Any], meanwhile: Callable[[], None]) -> Any:
    """What ``work`` returns or raises, run in a thread; ``meanwhile`` is called now and then."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = work()
        except BaseException as exc:
            outcome["error"] = exc

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_SECONDS)
        meanwhile()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def _tell(console: Console, report: Report) -> None:
    for finding in all_findings(report):
        what = f"file {finding['file_id']} version {finding['version']}: " if finding["file_id"] else ""
        console.print(f"{finding['path']}: {what}{finding['problem']}", markup=False, soft_wrap=True)
    for line in report["repaired"]:
        console.print(f"repaired: {line}", markup=False, soft_wrap=True)
    head = report["head"]
    console.print(
        f"{report['checked']} entries, {report['bytes'] / 1e6:.1f} MB read, {len(report['damaged'])} damaged, "
        f"{len(report['missing'])} missing, {len(report['repaired'])} repaired, {report['newer']} not in the chain yet",
        highlight=False,
        soft_wrap=True,
    )
    if head:
        console.print(f"head of the chain: {head['size']} entries, {head['root']}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
