"""Signatures as the Standard Webhooks scheme wants them (standardwebhooks.com, specification 1.0, symmetric)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins
SECRET_BYTES = 32


def new_secret() -> bytes:
    """The bytes of a secret that nobody has seen."""
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """The secret as its owner gets it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature(secrets_in_use: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one signature for each secret, the newest first.

    What is signed is ``id.timestamp.body``: a body cannot be sent again as another message, or much later.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets_in_use)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
