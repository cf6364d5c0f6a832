"""Secrets at rest: they must be able to sign, so they are encrypted, under keys derived from the system's secret key.

A secret is 32 random bytes. It is encrypted with HMAC-SHA-256 as a pseudo-random function over a nonce that is never
used again, and then authenticated, with two keys of which neither tells of the other or of the system's (ADR 014).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from docsave_services.domain.webhook_signature import SECRET_BYTES
from docsave_services.tokens import KeyRing, key_id

_VERSION = "1"
_NONCE_BYTES = 16


class Unreadable(Exception):
    """The key that this was sealed with is gone, or somebody changed it."""


def seal(ring: KeyRing, secret: bytes) -> str:
    """``secret`` as it may be stored."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    hidden = _xor(secret, _pad(ring.current, nonce))
    parts = (nonce, hidden, _tag(ring.current, nonce + hidden))
    return ".".join((_VERSION, key_id(ring.current), *(base64.urlsafe_b64encode(p).decode() for p in parts)))


def unseal(ring: KeyRing, text: str) -> bytes:
    """The secret again; ``Unreadable`` when no key of the ring opens it."""
    version, _, rest = text.partition(".")
    kid, _, rest = rest.partition(".")
    key = next((key for key in ring.keys if key_id(key) == kid), None)
    if version != _VERSION or key is None:
        raise Unreadable
    try:
        nonce, hidden, tag = map(base64.urlsafe_b64decode, rest.split("."))
    except (ValueError, binascii.Error) as exc:
        raise Unreadable from exc
    if len(hidden) != SECRET_BYTES or not hmac.compare_digest(tag, _tag(key, nonce + hidden)):
        raise Unreadable
    return _xor(hidden, _pad(key, nonce))


def is_current(ring: KeyRing, text: str) -> bool:
    """Whether it is sealed with the key that will stay."""
    return text.startswith(f"{_VERSION}.{key_id(ring.current)}.")


def _pad(key: str, nonce: bytes) -> bytes:
    return hmac.digest(_derived(key, b"encryption"), nonce, hashlib.sha256)


def _tag(key: str, data: bytes) -> bytes:
    return hmac.digest(_derived(key, b"authentication"), data, hashlib.sha256)


def _derived(key: str, purpose: bytes) -> bytes:
    return hmac.digest(key.encode(), b"docsave webhook secrets: " + purpose, hashlib.sha256)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
