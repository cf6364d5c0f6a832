"""``python -m backup.drill_command``: try whether the backup gives everything back, on the running system.

It ends with status 0 when it does, 1 when it does not, or could not be tried. Each drill leaves a dated report.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kombu.exceptions import KombuError
from nameko.exceptions import RemoteError, UnknownService
from nameko.exceptions import RpcTimeout as NamekoTimeout
from nameko.standalone.rpc import ClusterRpcProxy

from backup.drill import Drill, Drilled
from backup.restore_choice import NoBackup
from docsave_services.errors import DocsaveError
from docsave_services.runtime import environment as env
from docsave_services.storage.durable import make_directories, write_file
from docsave_services.times import now, to_text

DRILLS = "drills"
"""In the data directory: the reports, and the scratch place while a drill is under way."""

CALL_SECONDS = 30.0
SHOWN_MAX = 20


def main(arguments: list[str]) -> None:
    """Drill as the arguments say."""
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    try:
        resolved = env.current()
        root = Path(resolved[env.BACKUP_DIR])
        drills = Path(resolved[env.DATA_DIR]) / DRILLS
        with ClusterRpcProxy({"AMQP_URI": _broker(resolved)}, timeout=CALL_SECONDS) as cluster:

            def call(service: str, method: str, **given: Any) -> Any:
                return getattr(getattr(cluster, service), method)(**given)

            drilled = Drill(root, call, print).run(Path(options.scratch or drills))
        report = _keep(drilled, drills, root, time.monotonic() - began)
    except (UnknownService, RemoteError, NamekoTimeout, KombuError) as exc:
        sys.exit(f"drill: the running system does not answer: {' '.join(str(exc).split())}")
    except (DocsaveError, NoBackup, env.EnvironmentProblem, OSError) as exc:
        sys.exit(f"drill: {' '.join(str(exc).split())}")
    for difference in drilled.differences[:SHOWN_MAX]:
        print(difference, file=sys.stderr)
    print(f"{_verdict(drilled)}; report: {report}")
    sys.exit(0 if drilled.passed else 1)


def _broker(resolved: Mapping[str, str]) -> str:
    if not resolved.get(env.AMQP_URI):
        raise env.EnvironmentProblem(f"{env.AMQP_URI} is not set: start docsave first")
    return resolved[env.AMQP_URI]


def _verdict(drilled: Drilled) -> str:
    if drilled.passed:
        return f"passed: {drilled.files} documents, {drilled.events} changes, {drilled.accounts} accounts came back"
    return f"FAILED: {drilled.differences_total} differences"


def _keep(drilled: Drilled, drills: Path, root: Path, seconds: float) -> Path:
    """Write the report twice, for programs and for people; the latter's path."""
    at = to_text(now())
    report = {"at": at, "passed": drilled.passed, "from": str(root), "seconds": round(seconds, 1), **asdict(drilled)}
    make_directories(drills)
    stamp = at.replace("-", "").replace(":", "").partition(".")[0] + "Z"
    write_file(drills / f"{stamp}.json", (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
    path = drills / f"{stamp}.md"
    lines = [f"# Drill of {at}: {_verdict(drilled)}", ""]
    lines += [f"- {name}: {value}" for name, value in report.items() if not isinstance(value, list)]
    lines += ["", "## Differences", "", *(f"- {one}" for one in drilled.differences)] if drilled.differences else []
    write_file(path, ("\n".join(lines) + "\n").encode())
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drill", description="Try whether the backup gives everything back.")
    parser.add_argument("--scratch", metavar="DIR", help="where to rebuild meanwhile; default: in the data directory")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
