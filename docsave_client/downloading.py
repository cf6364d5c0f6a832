"""Fetching content: into a file beside the target, checked as a whole, and only then under its name."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from docsave_client.digests import PIECE_BYTES
from docsave_client.durable import fsync_directory
from docsave_client.errors import ClientError, Damaged, NotReachable, Refused, StoppedByCaller
from docsave_client.sending import Progress, no_progress
from docsave_client.transport import Call, Transport

_PLACE = re.compile(r"bytes ([0-9]+)-[0-9]+/[0-9]+")
_UNSATISFIABLE = 416


class OtherContent(ClientError):
    """What the server has there now is not the content that was asked for."""


@dataclass(frozen=True, slots=True)
class Content:
    """What to fetch: where it is, and what it must be."""

    path: str
    sha256: str
    size: int


def download(transport: Transport, content: Content, target: Path, progress: Progress = no_progress) -> None:
    """Put the content at ``target``, whole or not at all. What an interrupted one left beside it is gone on with."""
    part = target.with_name(f".docsave-{content.sha256[:32]}.part")
    with only_one(part):
        fetch(transport, content, part, progress)
        part.replace(target)
    fsync_directory(target.parent)


@contextlib.contextmanager
def only_one(part: Path) -> Iterator[None]:
    """Hold ``part`` against other processes that fetch the same content to the same place."""
    lock = part.with_suffix(".lock")
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ClientError(f"another process is fetching this content into {part.parent}") from exc
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def fetch(transport: Transport, content: Content, part: Path, progress: Progress = no_progress) -> None:
    """Bring all of the content into ``part``, durable and with the right hash. ``Damaged`` when it never has it,
    ``OtherContent`` when the server has other content there."""
    for _ in range(2):
        _Fetch(transport, content, part, progress).run()
        if _has_hash(part, content):
            return
        part.unlink()  # a part that was damaged on our disk: once more from the start
    raise Damaged("what arrives does not have the digest that it should have")


class _Fetch:
    """One content on its way into one file, over as many connections as it takes."""

    def __init__(self, transport: Transport, content: Content, part: Path, progress: Progress) -> None:
        self._transport = transport
        self._content = content
        self._part = part
        self._progress = progress

    def run(self) -> None:
        pauses = self._transport.backoff.pauses()
        done = self._offset()
        while not self._part.exists() or done < self._content.size:
            try:
                self._once(done)
            except (requests.RequestException, NotReachable) as exc:
                now = self._offset()
                if now > done:
                    pauses = self._transport.backoff.pauses()  # it got on: this is a new trouble
                pause = next(pauses, None)
                if pause is None:
                    raise NotReachable(f"{self._transport.url}: the download breaks off again and again") from exc
                self._transport.wait(pause)
            done = self._offset()

    def _offset(self) -> int:
        try:
            size = self._part.stat().st_size
        except FileNotFoundError:
            return 0
        if size <= self._content.size:
            return size
        self._part.unlink()
        return 0

    def _once(self, offset: int) -> None:
        headers = {}
        if offset:
            headers = {"Range": f"bytes={offset}-", "If-Range": f'"{self._content.sha256}"'}
        try:
            answer = self._transport.send(Call("GET", self._content.path, headers=headers, stream=True))
        except Refused as exc:
            if exc.status != _UNSATISFIABLE:
                raise
            self._part.unlink(missing_ok=True)
            return
        with contextlib.closing(answer):
            if answer.headers.get("ETag") != f'"{self._content.sha256}"':
                raise OtherContent("the document has changed since")
            self._take(answer, offset if _place_in(answer) == offset else 0)

    def _take(self, answer: requests.Response, offset: int) -> None:
        with self._part.open("r+b" if offset else "wb") as file:
            file.truncate(offset)
            file.seek(offset)
            for piece in answer.iter_content(PIECE_BYTES):
                if self._transport.stop.is_set():
                    raise StoppedByCaller("stopped")
                offset += len(piece)
                if offset > self._content.size:
                    raise Damaged("more arrives than the document has")
                file.write(piece)
                self._progress(offset, self._content.size)
            file.flush()
            os.fsync(file.fileno())


def _place_in(answer: requests.Response) -> int:
    """Where the body begins; 0 for a whole one."""
    match = _PLACE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(match[1]) if answer.status_code == 206 and match else 0


def _has_hash(part: Path, content: Content) -> bool:
    with part.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == content.sha256
