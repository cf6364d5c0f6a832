"""Hashing passwords with bcrypt over a pre-hash.

bcrypt reads 72 bytes and stops at a NUL. SHA-384 in base64 is 64 printable bytes, so every byte of the password
counts. Hashing takes a quarter of a second: it runs in a thread, never on the event loop.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache

import bcrypt
from eventlet import tpool
from eventlet.semaphore import Semaphore

from docsave_services.contracts import RPC_DEADLINE_SECONDS
from docsave_services.errors import Unavailable

ROUNDS = 12
"""bcrypt's cost, 2**12 iterations; OWASP's password storage cheat sheet asks for 10 at least."""

TURN_SECONDS = RPC_DEADLINE_SECONDS - 1
"""A turn comes within this time, less twice what a hash takes at present, or not at all; the rest is for the hash and
for writing down what came of it."""

IN_LINE_MAX = 32
"""Callers that may be at it at once. Two processors serve 30 in ``TURN_SECONDS``, and it is half of the service's
workers: a crowd at the door keeps nobody from what needs no password."""

_LINE = Semaphore(IN_LINE_MAX)


@dataclass(slots=True)
class _Pace:
    """What a hash takes lately, in seconds: on a busy machine several times as much as on an idle one."""

    seconds: float = 0.0

    def note(self, seconds: float) -> None:
        self.seconds += (seconds - self.seconds) / 4


_PACE = _Pace()

_HASHING = Semaphore(max(1, os.cpu_count() or 1))
"""More hashes at once than processors would end no sooner; they would only keep the threads from the database's
commits, and the processors from everybody else."""

_SCHEME = "sha384-bcrypt:"

_BCRYPT_DIGITS = string.ascii_letters + string.digits + "./"
_BCRYPT_DIGEST_CHARACTERS = 31


def hash_password(password: str) -> str:
    """A salted hash to store, marked with its scheme so that another may follow."""
    with place_in_line() as turn_by, _turn(turn_by):
        hashed: bytes = tpool.execute(bcrypt.hashpw, _prehash(password), bcrypt.gensalt(ROUNDS))
    return _SCHEME + hashed.decode("ascii")


def verify_password(password: str, stored: str | None, turn_by: float | None = None) -> bool:
    """Whether ``password`` has the hash ``stored``; None (no such account) takes the same time and is False.

    ``turn_by`` is what the caller's own ``place_in_line`` gave; without it this is one.
    """
    reference = _absent_hash(ROUNDS) if stored is None else stored
    hashed = reference.removeprefix(_SCHEME).encode("ascii")
    with place_in_line() if turn_by is None else nullcontext(turn_by) as limit, _turn(limit):
        matches: bool = tpool.execute(bcrypt.checkpw, _prehash(password), hashed)
    return matches and stored is not None


@contextmanager
def place_in_line() -> Iterator[float]:
    """A place among those who wait for a hash; gives the time (monotonic) by which the turn must have come.

    ``Unavailable`` when all are taken: at once, so take one before any work is done for a caller.
    """
    if not _LINE.acquire(blocking=False):
        raise _crowded()
    try:
        yield time.monotonic() + TURN_SECONDS
    finally:
        _LINE.release()


@contextmanager
def _turn(turn_by: float) -> Iterator[None]:
    """One of the threads for hashing; ``Unavailable`` for a caller who would have gone before the answer came."""
    if not _HASHING.acquire(timeout=max(0.001, turn_by - 2 * _PACE.seconds - time.monotonic())):
        raise _crowded()
    began = time.monotonic()
    try:
        yield
        _PACE.note(time.monotonic() - began)
    finally:
        _HASHING.release()


def _prehash(password: str) -> bytes:
    return base64.b64encode(hashlib.sha384(password.encode("utf-8")).digest())


def _crowded() -> Unavailable:
    return Unavailable("Too many passwords are being verified at the moment; try again shortly.")


@cache
def _absent_hash(rounds: int) -> str:
    """A hash of no password, made without hashing: else the first unknown login of a process would take twice as long.

    bcrypt checks a password by hashing it with the salt and comparing; what it compares with does not matter.
    """
    digest = "".join(secrets.choice(_BCRYPT_DIGITS) for _ in range(_BCRYPT_DIGEST_CHARACTERS))
    return _SCHEME + bcrypt.gensalt(rounds).decode("ascii") + digest
