"""The gateway's own pages and what they load: files of ``gateway_http/static``, read once at start.

A name is looked up among those that were found then, so nothing that a client sends ever becomes a path. Pages load
nothing from elsewhere and run no script that stands in them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nameko.extensions import DependencyProvider
from werkzeug.http import parse_etags
from werkzeug.wrappers import Request, Response

from docsave_services.errors import NotFound

STATIC_DIRECTORY = Path(__file__).with_name("static")

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""By the end of a name. A file of another kind is a mistake of ours, and the gateway does not start with it."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'{connect}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> StaticFile:
        """``content`` with its hash as its tag."""
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()}"')

    @classmethod
    def read(cls, path: Path) -> StaticFile:
        """The file at ``path``; ``KeyError`` for one whose media type nobody knows."""
        return cls.of(path.read_bytes(), _MEDIA_TYPES[path.suffix])


class StaticFiles:
    """All files below a directory, in memory, by their names relative to it: ``console/index.html``."""

    def __init__(self, directory: Path = STATIC_DIRECTORY) -> None:
        found = sorted(path for path in directory.rglob("*") if path.is_file())
        self._files = {path.relative_to(directory).as_posix(): StaticFile.read(path) for path in found}

    def answer(self, request: Request, name: str, connect: Sequence[str] = ()) -> Response:
        """The file called ``name``, or 304 when the client has it; ``NotFound`` when there is none.

        The page may connect to this origin and to those in ``connect`` (``ws://127.0.0.1:8001``), and to no other.
        """
        file = self._files.get(name)
        if file is None:
            raise NotFound
        return file_answer(request, file, connect)


def file_answer(request: Request, file: StaticFile, connect: Sequence[str] = ()) -> Response:
    """``file``, or 304 when the client has it. Caches keep it, and ask each time whether it is still the same."""
    headers = {
        "ETag": file.etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY.format(connect="".join(f" {origin}" for origin in connect)),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    known = parse_etags(request.headers.get("If-None-Match", "").strip())
    if known.contains_weak(file.etag.strip('"')):
        return Response(status=304, headers=headers)
    return Response(file.content, headers=headers, content_type=file.media_type)


class StaticFilesProvider(DependencyProvider):
    """Injects ``StaticFiles``, read before the first request."""

    def setup(self) -> None:
        self._files = StaticFiles()

    def get_dependency(self, worker_ctx: Any) -> StaticFiles:
        return self._files
