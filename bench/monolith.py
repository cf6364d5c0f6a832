"""A plain monolith to compare with: one program that saves, lists and gives out files.

Its 201 promises what docsave's does: the token is verified, the content's SHA-256 taken, the content on disk (fsync of
file and directory) and one row committed with ``synchronous=FULL``. It has no events, no backup and no versions.
Written as FastAPI's manual teaches it: the body streams in, blocking work goes to the thread pool.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import threading
import uuid
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import jwt
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from docsave_services.times import now, to_text

SECRET = "a secret that only the measurements use, 0123456789"
WRITE_BYTES = 1024 * 1024
_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
    id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL,
    sha256 TEXT NOT NULL, version INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS ix_file_user ON file (user_id, id);
CREATE INDEX IF NOT EXISTS ix_file_name ON file (user_id, name);
"""

app = FastAPI()


class Store:
    """Rows in SQLite, one connection a thread and one writer at a time; content in files named by their hash."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._writer = threading.Lock()
        self._local = threading.local()
        (root / "staging").mkdir(parents=True, exist_ok=True)
        self.connection.executescript(_SCHEMA)

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's."""
        if not hasattr(self._local, "connection"):
            connection = self._local.connection = sqlite3.connect(self.root / "files.sqlite3", timeout=30)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        found: sqlite3.Connection = self._local.connection
        return found

    def keep(self, fd: int, temporary: Path, sha256: str) -> str:
        """Make content durable under its hash; its path."""
        os.fsync(fd)
        path = self.root / sha256[:2] / sha256[2:4] / sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(path)
        for directory in (path.parent, path.parent.parent):
            directory_fd = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(directory_fd)
            finally:
                os.close(directory_fd)
        return str(path.relative_to(self.root))

    def add(self, user_id: int, name: str, path: str, size: int, sha256: str) -> dict[str, Any]:
        """One row, committed."""
        at = to_text(now())
        with self._writer, self.connection as connection:
            row = (user_id, name, path, size, sha256, 1, at, at)
            sql = (
                "INSERT INTO file (user_id, name, path, size, sha256, version, created_at, updated_at)"
                " VALUES (?,?,?,?,?,?,?,?)"
            )
            file_id = connection.execute(sql, row).lastrowid
        return {
            "id": file_id,
            "user_id": user_id,
            "name": name,
            "size": size,
            "sha256": sha256,
            "version": 1,
            "created_at": at,
            "updated_at": at,
        }


@cache
def the_store() -> Store:
    """The program's one store."""
    return Store(Path(os.environ["BENCH_MONOLITH_DIR"]))


async def caller(authorization: Annotated[str, Header()] = "") -> int:
    """Who asks."""
    try:
        return int(jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])["sub"])
    except jwt.PyJWTError as exc:
        raise HTTPException(401) from exc


Caller = Annotated[int, Depends(caller)]


@app.post("/files", status_code=201)
async def create_file(request: Request, name: str, user_id: Caller) -> dict[str, Any]:
    """Save a file."""
    temporary = the_store().root / "staging" / uuid.uuid4().hex
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o440)
    digest, size, waiting = hashlib.sha256(), 0, bytearray()

    def write() -> None:
        digest.update(waiting)
        view = memoryview(waiting)
        while view:
            view = view[os.write(fd, view) :]

    def finish() -> dict[str, Any]:
        write()
        path = the_store().keep(fd, temporary, digest.hexdigest())
        return the_store().add(user_id, name, path, size, digest.hexdigest())

    try:
        async for piece in request.stream():
            size += len(piece)
            waiting += piece
            if len(waiting) >= WRITE_BYTES:
                await run_in_threadpool(write)
                waiting = bytearray()
        return await run_in_threadpool(finish)
    finally:
        os.close(fd)
        temporary.unlink(missing_ok=True)


@app.get("/files")
def list_files(user_id: Caller, limit: int = 100, after: int = 0, q: str = "") -> dict[str, Any]:
    """One page."""
    sql = "SELECT * FROM file WHERE user_id = ? AND id > ? AND name LIKE ? ORDER BY id LIMIT ?"
    rows = the_store().connection.execute(sql, (user_id, after, f"%{q}%", limit + 1)).fetchall()
    items = [dict(row) for row in rows[:limit]]
    return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}


@app.get("/files/{file_id}/content")
def get_content(file_id: int, user_id: Caller) -> FileResponse:
    """The bytes."""
    row = (
        the_store().connection.execute("SELECT * FROM file WHERE id = ? AND user_id = ?", (file_id, user_id)).fetchone()
    )
    if row is None:
        raise HTTPException(404)
    return FileResponse(the_store().root / row["path"], filename=row["name"], headers={"ETag": f'"{row["sha256"]}"'})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
