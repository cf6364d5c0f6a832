"""Hashing passwords with bcrypt over a pre-hash.

bcrypt reads 72 bytes and stops at a NUL. SHA-384 in base64 is 64 printable bytes, so every byte of the password
counts. Hashing takes a quarter of a second: it runs in a thread, never on the event loop.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import bcrypt
from eventlet import tpool
from eventlet.semaphore import Semaphore

from docsave_services.contracts import RPC_DEADLINE_SECONDS
from docsave_services.errors import Unavailable

ROUNDS = 12
"""bcrypt's cost, 2**12 iterations; OWASP's password storage cheat sheet asks for 10 at least."""

TURN_SECONDS = RPC_DEADLINE_SECONDS - 1
"""Longest wait for a turn."""

_HASHING = Semaphore(max(1, os.cpu_count() or 1))
"""More hashes at once than processors would end no sooner; they would only keep the threads from the database's
commits, and the processors from everybody else."""

_SCHEME = "sha384-bcrypt:"


def hash_password(password: str) -> str:
    """A salted hash to store, marked with its scheme so that another may follow."""
    with _turn():
        hashed: bytes = tpool.execute(bcrypt.hashpw, _prehash(password), bcrypt.gensalt(ROUNDS))
    return _SCHEME + hashed.decode("ascii")


def verify_password(password: str, stored: str | None) -> bool:
    """Whether ``password`` has the hash ``stored``; None (no such account) takes the same time and is False."""
    reference = _absent_hash() if stored is None else stored
    hashed = reference.removeprefix(_SCHEME).encode("ascii")
    with _turn():
        matches: bool = tpool.execute(bcrypt.checkpw, _prehash(password), hashed)
    return matches and stored is not None


@contextmanager
def _turn() -> Iterator[None]:
    """One of the places for hashing; ``Unavailable`` for a caller who would have gone before its turn came."""
    if not _HASHING.acquire(timeout=TURN_SECONDS):
        raise Unavailable("Too many passwords are being verified at the moment; try again shortly.")
    try:
        yield
    finally:
        _HASHING.release()


def _prehash(password: str) -> bytes:
    return base64.b64encode(hashlib.sha384(password.encode("utf-8")).digest())


@cache
def _absent_hash() -> str:
    return hash_password(secrets.token_urlsafe())
