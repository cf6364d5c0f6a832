"""A bucket that speaks S3: a few calls, each with a clear outcome. Blocking; the library works in threads of its own.

Nothing that the library says is passed on: its texts hold addresses, ids of keys and signatures.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from backup.content import never, pieces
from backup.errors import Cancelled, EntryConflict
from backup.targets.target import REFUSED, UNREACHABLE, TargetAway
from docsave_services.errors import BlobDamaged
from docsave_services.settings import BucketSettings
from docsave_services.storage import CHUNK_BYTES

PART_BYTES = 8 * CHUNK_BYTES
"""Larger content is sent in parts of this size, two at a time: what one copy takes up in memory."""

PARTS_MAX = 10_000
PARTS_AT_ONCE = 2

CONNECT_SECONDS = 5
REQUEST_SECONDS = 120
"""For one request, at most ``PART_BYTES``: a line that is slower than 70 kB/s is no place for a backup."""

_STATUS = re.compile(r"status code: (\d{3})")


class BucketStore:
    """Objects below the prefix of ``settings``. Each call raises ``TargetAway`` when the bucket does not do it."""

    def __init__(self, settings: BucketSettings) -> None:
        given: dict[str, Any] = {
            "endpoint": settings.endpoint,
            "access_key_id": settings.key_id,
            "secret_access_key": settings.secret,
        }
        self._store = S3Store(
            settings.bucket,
            prefix=settings.prefix or None,
            config={  # type: ignore[arg-type] # which of them are given is known at run time
                **{name: value for name, value in given.items() if value},
                "region": settings.region,
                "virtual_hosted_style_request": not settings.endpoint,
                "checksum_algorithm": "SHA256",  # the server compares each part with it
            },
            client_options={
                "allow_http": settings.endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
            },
            # The follower pauses and says so in the status; retries inside the library would hide it.
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=CONNECT_SECONDS)},
        )

    def get(self, key: str) -> bytes | None:
        """A small object; None when there is none."""
        with _told():
            try:
                return bytes(obstore.get(self._store, key).bytes())
            except FileNotFoundError:
                return None

    def etags(self, prefix: str) -> dict[str, str]:
        """The entity tags of the objects below ``prefix``, by their keys."""
        with _told():
            return {
                o["path"]: (o["e_tag"] or "").strip('"') for page in obstore.list(self._store, prefix) for o in page
            }

    def is_empty(self) -> bool:
        """Whether nothing lies there."""
        with _told():
            return not any(page for page in obstore.list(self._store))

    def replace(self, key: str, text: bytes) -> None:
        """Put a small object there, whatever was there before."""
        with _told(), _needs_bucket():
            obstore.put(self._store, key, text, use_multipart=False)

    def create(self, key: str, text: bytes) -> bytes:
        """Put a small object there if there is none; what is there afterwards, read back unless the entity tag
        proves it."""
        try:
            with _told(), _needs_bucket():
                made = obstore.put(self._store, key, text, mode="create")
            if _tag(made) == _md5(text).hexdigest():
                return text
        except AlreadyExistsError:
            pass
        found = self.get(key)
        if found is None:
            raise TargetAway(UNREACHABLE, "the bucket does not show what was just written")
        return found

    def create_content(self, key: str, fd: int, sha256: str, size: int, cancelled: Callable[[], bool] = never) -> None:
        """Have the content of the open file ``fd`` (closed here) at ``key``, and know it: the hash of what was sent is
        ``sha256``, and what is there has the size and the entity tag of it, or was read back.

        ``BlobDamaged`` when the file is not that content; nothing appears then. ``EntryConflict`` when something else
        is there already.
        """
        with io.FileIO(fd) as reader:
            content = _Content(reader, sha256, size, cancelled)
            if self._size(key) is None:
                self._send(key, content)
            else:
                for _ in content.pieces():  # for the tag that it would have
                    pass
        self._prove(key, content, cancelled)

    def stream(self, key: str) -> Iterator[bytes]:
        """The object in pieces; ``FileNotFoundError`` when there is none."""
        with _told():
            for piece in obstore.get(self._store, key).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(piece)

    def _send(self, key: str, content: _Content) -> None:
        with _told(), _needs_bucket(), contextlib.suppress(AlreadyExistsError):
            if content.size <= PART_BYTES:
                obstore.put(self._store, key, b"".join(content.pieces()), mode="create")
                return
            # S3 has no condition for parts in this library; the key is the hash, so the bytes are the same.
            obstore.put(
                self._store,
                key,
                content.pieces(),
                use_multipart=True,
                chunk_size=content.part_bytes,
                max_concurrency=PARTS_AT_ONCE,
            )

    def _prove(self, key: str, content: _Content, cancelled: Callable[[], bool]) -> None:
        with _told():
            try:
                found = obstore.head(self._store, key)
            except FileNotFoundError as exc:
                raise TargetAway(UNREACHABLE, "the bucket does not show what was just written") from exc
        if found["size"] == content.size and _tag(found) in content.tags():
            return
        digest = hashlib.sha256()  # encrypted by the server, or sent in parts of another size: the tag is another
        for piece in self.stream(key):
            if cancelled():
                raise Cancelled
            digest.update(piece)
        if found["size"] != content.size or digest.hexdigest() != content.sha256:
            raise EntryConflict(f"{key} in the bucket is other content; move it away")

    def _size(self, key: str) -> int | None:
        with _told():
            try:
                return int(obstore.head(self._store, key)["size"])
            except FileNotFoundError:
                return None


class _Content:
    """Reads ``reader`` once, and knows afterwards the entity tags that S3 gives to it."""

    def __init__(self, reader: io.FileIO, sha256: str, size: int, cancelled: Callable[[], bool]) -> None:
        self._reader = reader
        self._cancelled = cancelled
        self.sha256 = sha256
        self.size = size
        self.part_bytes = max(PART_BYTES, -(-size // PARTS_MAX))
        self._whole = _md5()
        self._parts = [_md5()]
        self._in_part = 0

    def pieces(self) -> Iterator[bytes]:
        """The bytes; each piece is held back until the next is there, and the last until the whole is right."""
        digest, held, done = hashlib.sha256(), b"", 0
        for view in pieces(self._reader, self._cancelled):
            piece = bytes(view)
            done += len(piece)
            digest.update(piece)
            self._note(piece)
            if held:
                yield held
            held = piece
        if done != self.size or digest.hexdigest() != self.sha256:
            raise BlobDamaged
        yield held

    def tags(self) -> set[str]:
        """The entity tag of one request, and that of parts (AWS, "Checking object integrity": MD5 of the MD5s)."""
        parts = _md5(b"".join(part.digest() for part in self._parts)).hexdigest()
        return {self._whole.hexdigest(), f"{parts}-{len(self._parts)}"}

    def _note(self, piece: bytes) -> None:
        self._whole.update(piece)
        left = memoryview(piece)
        while left:
            room = self.part_bytes - self._in_part
            if room == 0:
                self._parts.append(_md5())
                self._in_part, room = 0, self.part_bytes
            self._parts[-1].update(left[:room])
            self._in_part += len(left[:room])
            left = left[room:]


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)


def _tag(found: Any) -> str:
    return (found["e_tag"] or "").strip('"')


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the library raises as ``TargetAway``; what is missing and what is there already is the caller's."""
    try:
        yield
    except AlreadyExistsError:
        raise
    except (PermissionDeniedError, UnauthenticatedError) as exc:
        raise TargetAway(REFUSED, "the bucket refuses these credentials") from exc
    except BaseError as exc:
        status = _STATUS.search(str(exc))
        said = f"it answers {status[1]}" if status else "no answer"
        raise TargetAway(UNREACHABLE, f"the bucket does not work: {said}") from exc


@contextlib.contextmanager
def _needs_bucket() -> Iterator[None]:
    """What is missing when something is put is the bucket."""
    try:
        yield
    except FileNotFoundError as exc:
        raise TargetAway(REFUSED, "the bucket is not there") from exc
