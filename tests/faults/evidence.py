"""What is really there, read from every place that keeps something: journal, database, blobs, backup directory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nameko.standalone.rpc import ClusterRpcProxy
from sqlalchemy import NullPool, create_engine, text

from backup.layout import Layout
from backup.names import COMPACTED_SUFFIX, patch_name
from docsave_services.storage.sweep import MARK

CALL_SECONDS = 20.0
PAGE = 50
"""Small, so that reading the journal takes several pages."""

_EVENT_COLUMNS = "event_id, type, file_id AS id, user_id, name, path, size, media_type, sha256, version"
_FILE_COLUMNS = "id, user_id, name, path, size, sha256, version, protected_version, deleted_at"


@dataclass
class Rows:
    """The database's own account of things, read without docsave's code."""

    last: int
    events: list[dict[str, Any]]
    files: list[dict[str, Any]]
    logins: list[str]


@dataclass
class Backups:
    """The backup directory: for each (user, file, version) the event and the hashes of its contents' bytes.

    A clock that jumps years ahead makes old versions of new ones: what compaction made of them counts as their content.
    """

    events: dict[tuple[int, int, int], dict[str, Any]] = field(default_factory=dict)
    contents: dict[tuple[int, int, int], list[str]] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    writable: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


@dataclass
class Evidence:
    """All that is kept, as it was found at one quiet moment."""

    journal: list[dict[str, Any]]
    rows: Rows
    blobs: dict[str, str]
    staging: list[str]
    backups: Backups


def collect(amqp_uri: str, db_uri: str, data_dir: Path, backup_dir: Path) -> Evidence:
    """Read everything of a running system."""
    blobs, staging = read_blobs(data_dir / "blobs")
    return Evidence(journal_over_rpc(amqp_uri), read_rows(db_uri), blobs, staging, read_backups(backup_dir))


def journal_over_rpc(amqp_uri: str) -> list[dict[str, Any]]:
    """The whole journal as ``files.changes`` tells it, page by page."""
    events: list[dict[str, Any]] = []
    since = None
    with ClusterRpcProxy({"AMQP_URI": amqp_uri}, timeout=CALL_SECONDS) as proxy:
        while page := proxy.files.changes(since=since, limit=PAGE):
            if not page["items"]:
                return events
            events += page["items"]
            since = page["cursor"]
    return events


def read_rows(db_uri: str) -> Rows:
    """The tables of users, files and the journal."""
    engine = create_engine(db_uri, poolclass=NullPool)
    with engine.connect() as connection:

        def select(columns: str, table: str, order: str) -> list[dict[str, Any]]:
            statement = text(f"SELECT {columns} FROM {table} ORDER BY {order}")  # noqa: S608 - our own words
            return [dict(row) for row in connection.execute(statement).mappings()]

        return Rows(
            last=connection.execute(text("SELECT last FROM journal_head")).scalar_one(),
            events=select(_EVENT_COLUMNS, "file_event", "event_id"),
            files=select(_FILE_COLUMNS, "file", "id"),
            logins=[row["login"] for row in select("id, login", _quoted(db_uri, "user"), "id")],
        )


def read_blobs(root: Path) -> tuple[dict[str, str], list[str]]:
    """The hash of each blob's bytes by its key, and the names of what lies in the staging directory."""
    staging = root / "staging"
    blobs = {
        path.relative_to(root).as_posix(): sha256_of(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent != staging and path != root / MARK
    }
    return blobs, sorted(path.name for path in staging.iterdir())


def read_backups(root: Path) -> Backups:
    """Everything below ``history`` and ``objects``."""
    found = Backups()
    for path in sorted((root / "history").rglob("*")):
        if path.is_file():
            _read_entry(found, root, path)
    for path in sorted((root / "objects").rglob("*")):
        if path.is_file():
            found.objects[path.relative_to(root / "objects").as_posix()] = sha256_of(path)
    return found


def _read_entry(found: Backups, root: Path, path: Path) -> None:
    name, (user, file) = path.relative_to(root).as_posix(), path.parts[-3:-1]
    label = path.name[:7]
    if len(path.relative_to(root).parts) != 4 or not (label[0] == "v" and label[1:].isdigit()):
        found.strange.append(name)
        return
    if path.stat().st_mode & 0o222:
        found.writable.append(name)
    key = (int(user), int(file), int(label[1:]))
    if path.name == f"{label}.json":
        found.events[key] = json.loads(path.read_bytes())
    elif path.name.endswith(COMPACTED_SUFFIX):
        layout = Layout(path.parent)
        if layout.packed(key[2]) == path:
            found.contents.setdefault(key, []).append(_unpacked_sha256(layout, key[2]))
    elif path.name[7] == "_":
        found.contents.setdefault(key, []).append(sha256_of(path))
    elif path.name != patch_name(key[2]) or Layout(path.parent).side(key[2]) is None:
        found.strange.append(name)


def _unpacked_sha256(layout: Layout, version: int) -> str:
    digest = hashlib.sha256()
    for piece in layout.layers(version).pieces():
        digest.update(piece)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _quoted(db_uri: str, table: str) -> str:
    return f"`{table}`" if db_uri.startswith("mysql") else f'"{table}"'
