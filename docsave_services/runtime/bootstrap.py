"""``python -m docsave_services.runtime.bootstrap``: prepare what the services need, once, and end.

Migrations, the first administrator, the blob directories. Each step finds out by itself whether it is done already,
so that this runs before every start, and twice at once without harm.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import yaml
from nameko.cli.main import setup_yaml_parser
from nameko.exceptions import ConfigurationError
from sqlalchemy.exc import SQLAlchemyError

from docsave_services.db import migrate
from docsave_services.errors import DocsaveError
from docsave_services.runtime import environment as env
from docsave_services.runtime.service import database_uri, follow_supervisor
from docsave_services.settings import Settings
from docsave_services.storage import BlobStore
from docsave_services.storage.durable import make_directories
from docsave_services.users.bootstrap import ensure_first_admin

RETRY_SECONDS = 60.0
"""How long a database that does not answer is waited for."""


def main() -> None:
    """Ends with status 0 when all is prepared, otherwise with one line that says what is wrong."""
    follow_supervisor()
    try:
        resolved = env.current()
        _prepare(resolved)
    except (env.EnvironmentProblem, ConfigurationError, SQLAlchemyError, DocsaveError, OSError) as exc:
        time.sleep(1)  # the supervisor starts this again at once
        sys.exit(f"bootstrap: {' '.join(str(exc).split())}")


def _prepare(resolved: dict[str, str]) -> None:
    make_directories(Path(resolved[env.DATA_DIR]))
    BlobStore(Path(resolved[env.DATA_DIR]) / "blobs").prepare()
    _migrate(database_uri(resolved))
    settings = _settings(resolved)
    if ensure_first_admin(settings):
        print(f"bootstrap: created the first administrator, {settings.admin_login}", flush=True)


def _migrate(uri: str) -> None:
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            migrate.upgrade(uri)
        except (SQLAlchemyError, TimeoutError) as exc:
            if time.monotonic() >= deadline:
                raise
            print(f"bootstrap: the database is not ready: {type(exc).__name__}", flush=True)
            time.sleep(1)
        else:
            return


def _settings(resolved: dict[str, str]) -> Settings:
    """The settings as the services see them: config.yml filled in from the environment by Nameko's own parser."""
    os.environ.update(resolved)
    setup_yaml_parser()
    with env.CONFIG.open(encoding="utf-8") as file:
        return Settings.from_config(yaml.safe_load(file))


if __name__ == "__main__":
    main()
