"""Idempotency-Key: a request that is repeated because its answer got lost has one effect (ADR 011).

What a key stands for is settled in the transaction that changes the file. Here only those requests wait that come
while the first one is still under way in this process.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eventlet.event import Event

from docsave_services.contracts import RPC_DEADLINE_SECONDS, Change, Idempotency
from docsave_services.errors import InProgress, InvalidInput
from gateway_http.limits import IDEMPOTENCY_KEY_CHARACTERS_MAX

HEADER = "Idempotency-Key"

_ASKED_FOR = ("op", "file_id", "user_id", "name", "path", "folder", "labels", "ref", "if_match")
"""What a request asks for. Who asks and from where may differ in its repetition; the media type follows from these."""


def key_in(environ: dict[str, Any]) -> str | None:
    """The request's key; ``InvalidInput`` for one that is empty, too long or not printable ASCII."""
    key: str | None = environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX or not key.isascii() or not key.isprintable():
        message = f"must have 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} printable ASCII characters"
        raise InvalidInput.for_field(HEADER, message)
    return key


def named(key: str, change: Change) -> Idempotency:
    """The key as it goes with ``change``: with a hash of all that is asked for, so that no other request has it."""
    asked = {field: change[field] for field in _ASKED_FOR if field in change}  # type: ignore[literal-required]
    return {"key": key, "fingerprint": hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()}


def item_key(key: str, number: int) -> str:
    """The key of one operation of a batch: of a kind that nobody sends by accident, and never too long."""
    return f"batch {hashlib.sha256(key.encode()).hexdigest()} {number}"


class RequestsUnderWay:
    """The keys of requests that this process works on. As many as there are connections at most."""

    def __init__(self, patience: float = RPC_DEADLINE_SECONDS) -> None:
        self._patience = patience
        self._ends: dict[tuple[int, str], Event] = {}

    @contextmanager
    def one_at_a_time(self, user_id: int, key: str) -> Iterator[None]:
        """Wait while another request with this key is inside; ``InProgress`` when that takes too long.

        When the other one succeeded all that wait go on at once, for the transaction knows the key by then. When it
        failed or its client hung up one of them takes its place.
        """
        end = self._enter((user_id, key))
        if end is None:
            yield
            return
        succeeded = False
        try:
            yield
            succeeded = True
        finally:
            del self._ends[user_id, key]
            end.send(succeeded)

    def _enter(self, name: tuple[int, str]) -> Event | None:
        """The end that this request will announce; None when an earlier one has succeeded meanwhile."""
        deadline = time.monotonic() + self._patience
        while name in self._ends:
            succeeded = self._ends[name].wait(timeout=max(0.0, deadline - time.monotonic()))
            if succeeded is None:
                raise InProgress
            if succeeded:
                return None
        end = self._ends[name] = Event()
        return end

    def __len__(self) -> int:
        return len(self._ends)
