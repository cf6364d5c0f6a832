"""Saving a file: in one request, or a large one in parts that go on where they stopped, also in another process."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import requests

from docsave_client.digests import content_digest, sha256_of
from docsave_client.durable import make_directories, write_atomically
from docsave_client.errors import ClientError, Damaged, NotReachable, Refused
from docsave_client.sending import FilePart, Progress, no_progress
from docsave_client.transport import Call, Transport

RESUMABLE_BYTES = 32 * 1024 * 1024
"""From this size on a file is sent in parts."""

PART_BYTES = 8 * 1024 * 1024
"""One part: what is sent again when a connection breaks."""

_TUS = {"Tus-Resumable": "1.0.0"}
_CHECKSUM_MISMATCH = 460
_GONE = (404, 410)
_TRY_AGAIN = (409, 423, _CHECKSUM_MISMATCH)
_OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be saved: ``path``'s content as ``name``, filed and labelled; its hash is known."""

    path: Path
    name: str
    size: int
    sha256: str
    folder: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, name: str | None, folder: str, labels: Mapping[str, str] | None) -> Wish:
        """The wish for a file as it is now."""
        return cls(path, name or path.name, path.stat().st_size, sha256_of(path), folder, dict(labels or {}))


def save_at_once(transport: Transport, wish: Wish, progress: Progress) -> Any:
    """``POST /files``."""
    query = [("name", wish.name)]
    query += [("folder", wish.folder)] if wish.folder else []
    query += [("labels", json.dumps(dict(wish.labels)))] if wish.labels else []
    return transport.json(Call("POST", "/files", query, body=_whole(wish, progress), headers=_headers(wish)))


def replace_content(transport: Transport, file_id: int, wish: Wish, if_match: str | None, progress: Progress) -> Any:
    """``PUT`` new content."""
    headers = _headers(wish) | ({"If-Match": if_match} if if_match else {})
    return transport.json(Call("PUT", f"/files/{file_id}/content", body=_whole(wish, progress), headers=headers))


def one_effect() -> dict[str, str]:
    """The header with which a request that is sent again has one effect and gets the first answer."""
    return {"Idempotency-Key": uuid.uuid4().hex}


class InParts:
    """An upload over tus. Where it is, is kept in ``state_dir``: the same wish goes on there, whoever asks."""

    def __init__(self, transport: Transport, wish: Wish, state_dir: Path, progress: Progress = no_progress) -> None:
        self._transport = transport
        self._wish = wish
        self._progress = progress
        self._state = state_dir / f"{_fingerprint(transport.url, wish)}.json"

    def run(self) -> int:
        """The id of the file. Every part is checked on arrival; a break costs the part under way."""
        location, offset, file_id = self._found() or self._create()
        failures = self._transport.backoff.pauses()
        while file_id is None:
            try:
                offset, file_id = self._send(location, offset)
                failures = self._transport.backoff.pauses()
            except (NotReachable, Refused) as exc:
                if isinstance(exc, Refused) and exc.status not in _TRY_AGAIN:
                    raise
                self._pause(failures, exc)
                location, offset, file_id = self._found() or self._create()
        self._state.unlink(missing_ok=True)
        return file_id

    def _pause(self, failures: Iterator[float], problem: Exception) -> None:
        pause = next(failures, None)
        if pause is None:
            raise problem
        self._transport.wait(pause)

    def _found(self) -> tuple[str, int, int | None] | None:
        """The upload that was begun earlier, as far as the server has it; None when there is none any more."""
        try:
            location = str(json.loads(self._state.read_bytes())["location"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        try:
            answer = self._transport.send(Call("HEAD", location, headers=_TUS))
        except Refused as exc:
            if exc.status not in _GONE:
                raise
            self._state.unlink(missing_ok=True)
            return None
        offset = _offset_in(answer)
        self._progress(offset, self._wish.size)
        return location, offset, _file_id_in(answer)

    def _create(self) -> tuple[str, int, int | None]:
        fields = {"filename": self._wish.name, "folder": self._wish.folder}
        if self._wish.labels:
            fields["labels"] = json.dumps(dict(self._wish.labels))
        metadata = ",".join(f"{key} {_base64(value)}" for key, value in fields.items() if value)
        headers = {**_TUS, "Upload-Length": str(self._wish.size), "Upload-Metadata": metadata}
        answer = self._transport.send(Call("POST", "/uploads", headers=headers))
        location = answer.headers.get("Location", "")
        if not location.startswith("/"):
            raise ClientError("the server does not say where the upload is")
        make_directories(self._state.parent, 0o700)
        write_atomically(self._state, json.dumps({"location": location, "path": str(self._wish.path)}).encode())
        return location, 0, _file_id_in(answer)

    def _send(self, location: str, offset: int) -> tuple[int, int | None]:
        length = min(PART_BYTES, self._wish.size - offset)
        headers = {
            **_TUS,
            "Upload-Offset": str(offset),
            "Upload-Checksum": f"sha256 {self._checksum(offset, length)}",
            "Content-Type": "application/offset+octet-stream",
        }
        body = partial(FilePart, self._wish.path, offset, length, self._wish.size, self._progress)
        # Never sent again as it is: what has arrived is asked first.
        answer = self._transport.send(Call("PATCH", location, body=body, headers=headers, repeatable=False))
        return _offset_in(answer), _file_id_in(answer)

    def _checksum(self, offset: int, length: int) -> str:
        with self._wish.path.open("rb") as file:
            file.seek(offset)
            piece = file.read(length)
        if len(piece) < length:
            raise OSError(f"{self._wish.path} became shorter while it was sent")
        return base64.b64encode(hashlib.sha256(piece).digest()).decode("ascii")


def check_saved(file: Any, wish: Wish) -> None:
    """``Damaged`` when the server has another content: the file was changed while it was sent."""
    if file["sha256"] != wish.sha256:
        raise Damaged(f"{wish.path} was changed while it was sent: file {file['id']} holds a mixture")


def _whole(wish: Wish, progress: Progress) -> partial[FilePart]:
    return partial(FilePart, wish.path, 0, wish.size, wish.size, progress)


def _headers(wish: Wish) -> dict[str, str]:
    return {**one_effect(), "Content-Digest": content_digest(wish.sha256), "Content-Type": _OCTETS}


def _fingerprint(url: str, wish: Wish) -> str:
    parts = [url, wish.sha256, wish.name, wish.folder, sorted(wish.labels.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _offset_in(answer: requests.Response) -> int:
    text = answer.headers.get("Upload-Offset", "")
    if not text.isascii() or not text.isdigit():
        raise ClientError("the server does not say how much of the upload has arrived")
    return int(text)


def _file_id_in(answer: requests.Response) -> int | None:
    text = answer.headers.get("Docsave-File-Id", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
