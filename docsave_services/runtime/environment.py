"""The environment of the system's processes: settings resolved once, secrets generated once or read from files."""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from docsave_services.domain.secret_key import SECRET_KEY_MIN_BYTES
from docsave_services.storage.durable import make_directories, write_file

ROOT = Path(__file__).resolve().parents[2]
"""The directory of config.yml, gateway.py and the packages."""

CONFIG = ROOT / "config.yml"

AMQP_URI = "DOCSAVE_AMQP_URI"
DB_URI = "DOCSAVE_DB_URI"
SECRET_KEY = "DOCSAVE_SECRET_KEY"  # noqa: S105 - the name of a variable
SECRET_KEY_PREVIOUS = "DOCSAVE_SECRET_KEY_PREVIOUS"  # noqa: S105 - the name of a variable
METRICS_TOKEN = "DOCSAVE_METRICS_TOKEN"  # noqa: S105 - the name of a variable
ADMIN_PASSWORD = "DOCSAVE_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable
DATA_DIR = "DOCSAVE_DATA_DIR"
BACKUP_DIR = "DOCSAVE_BACKUP_DIR"
BACKUP_MIRROR_DIR = "DOCSAVE_BACKUP_MIRROR_DIR"
S3_KEY_ID = "DOCSAVE_BACKUP_S3_KEY_ID"
S3_SECRET = "DOCSAVE_BACKUP_S3_SECRET"  # noqa: S105 - the name of a variable
HOST = "DOCSAVE_HOST"
PORT = "DOCSAVE_PORT"
NOTIFIER_PORT = "DOCSAVE_NOTIFIER_PORT"

FROM_FILES = (AMQP_URI, DB_URI, SECRET_KEY, SECRET_KEY_PREVIOUS, ADMIN_PASSWORD, S3_KEY_ID, S3_SECRET, METRICS_TOKEN)
"""Settings that hold a secret: each may be given as a file, named in ``<variable>_FILE``."""

_MAY_BE_EMPTY = {SECRET_KEY_PREVIOUS, S3_KEY_ID, S3_SECRET}
"""A container's secret is a file even while there is none."""

DEFAULTS = {
    DATA_DIR: "data",
    BACKUP_DIR: "backups",
    HOST: "127.0.0.1",
    PORT: "8000",
    NOTIFIER_PORT: "8001",
}
"""The same as in config.yml; here because directories and ports are needed before a service starts."""

_NAME = re.compile(r"DOCSAVE_[A-Z0-9_]+")


class EnvironmentProblem(Exception):
    """A setting that keeps the system from starting; the text is one line for the operator."""


def resolve(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` with secrets read from their files, defaults filled in and directories absolute.

    Raises ``EnvironmentProblem`` for a file that cannot be read, a variable given both ways, or a short key.
    """
    resolved = dict(environ)
    for name in FROM_FILES:
        path = resolved.pop(f"{name}_FILE", "")
        if path and resolved.get(name):
            raise EnvironmentProblem(f"set either {name} or {name}_FILE, not both")
        if path:
            resolved[name] = _read(name, Path(path))
    for name, default in DEFAULTS.items():
        resolved[name] = resolved.get(name) or default
    for name in (DATA_DIR, BACKUP_DIR):
        resolved[name] = str((ROOT / resolved[name]).absolute())
    if resolved.get(BACKUP_MIRROR_DIR):
        resolved[BACKUP_MIRROR_DIR] = str((ROOT / resolved[BACKUP_MIRROR_DIR]).absolute())
    for name in (SECRET_KEY, SECRET_KEY_PREVIOUS):
        key = resolved.get(name, "")
        if key and len(key.encode()) < SECRET_KEY_MIN_BYTES:
            raise EnvironmentProblem(f"{name} is shorter than {SECRET_KEY_MIN_BYTES} bytes")
    return resolved


def add_secrets(resolved: Mapping[str, str]) -> dict[str, str]:
    """``resolved`` with the key and the first administrator's password, generated into the data directory if unset.

    One process at a time may do this for a data directory. A file that exists is never written again. To replace the
    key, rename ``secret_key`` to ``secret_key_previous`` and restart: a new one is generated, tokens of the old one
    stay good. A quarter of an hour later the old one may be deleted.
    """
    directory = secrets_directory(resolved)
    make_directories(directory, 0o700)
    directory.chmod(0o700)
    complete = dict(resolved)
    for name, path in ((SECRET_KEY, directory / "secret_key"), (ADMIN_PASSWORD, admin_password_file(resolved))):
        if complete.get(name):
            continue
        if not path.exists():
            write_file(path, secrets.token_urlsafe(24 if name == ADMIN_PASSWORD else 48).encode() + b"\n", 0o600)
        complete[name] = _read(name, path)
    previous = directory / "secret_key_previous"
    if not complete.get(SECRET_KEY_PREVIOUS) and previous.exists():
        complete[SECRET_KEY_PREVIOUS] = _read(SECRET_KEY_PREVIOUS, previous)
    return resolve(complete)


def secrets_directory(resolved: Mapping[str, str]) -> Path:
    """Where generated secrets lie: 0700, its files 0600."""
    return Path(resolved[DATA_DIR]) / "secrets"


def admin_password_file(resolved: Mapping[str, str]) -> Path:
    """Where the first administrator's password lies when it was generated."""
    return secrets_directory(resolved) / "admin_password"


def write_shell_file(resolved: Mapping[str, str]) -> Path:
    """``<data>/env``, private: sourced by an operator's shell, it lets ``nameko shell`` find the running system."""
    path = Path(resolved[DATA_DIR]) / "env"
    names = sorted(name for name in resolved if _NAME.fullmatch(name) and name != ADMIN_PASSWORD)
    lines = [f"export {name}={shlex.quote(resolved[name])}\n" for name in names]
    write_file(path, "".join(lines).encode(), 0o600)
    return path


def without(resolved: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """``resolved`` less ``names``: a process gets only the secrets that it uses."""
    unwanted = set(names)
    return {name: value for name, value in resolved.items() if name not in unwanted}


def _read(name: str, path: Path) -> str:
    try:
        value = path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "not UTF-8"
        raise EnvironmentProblem(f"{name}: cannot read {path}: {reason}") from exc
    if not value and name not in _MAY_BE_EMPTY:
        raise EnvironmentProblem(f"{name}: {path} is empty")
    return value


def current() -> dict[str, str]:
    """This process's own environment, resolved."""
    return resolve(os.environ)
