"""The key that signs access tokens."""

from __future__ import annotations

SECRET_KEY_MIN_BYTES = 32
"""HMAC-SHA-256 keys shorter than the hash weaken it (RFC 7518, section 3.2)."""
