"""Access tokens: signed JWTs that the gateway and the bridge verify without asking anyone."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt

from docsave_services.contracts import Role
from docsave_services.errors import Unauthenticated

ALGORITHM = "HS256"
"""The one algorithm; a token that names another is refused (RFC 8725, section 3.1)."""

ISSUER = "docsave"
AUDIENCE = "docsave-api"
TYPE = "access"
ACCESS_TOKEN_SECONDS = 15 * 60
TOKEN_CHARACTERS_MAX = 4096
"""A longer token is refused before it is looked at."""

_CLAIMS = ("exp", "nbf", "iat", "iss", "aud", "sub", "jti", "sid", "ver")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs tokens, and the one before it, which still verifies them while it is being replaced."""

    current: str = field(repr=False)
    previous: str = field(default="", repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in use, the signing one first."""
        return tuple(key for key in (self.current, self.previous) if key)

    def key_of(self, kid: object) -> str:
        """The key with that ``kid``; ``Unauthenticated`` when there is none."""
        for key in self.keys:
            if key_id(key) == kid:
                return key
        raise Unauthenticated


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts: taken from a verified token or API key, never from what a client says beside it.

    ``scopes`` None means everything the role may do: a person's token. ``version`` is the user's ``token_version`` at
    the time of issue: a revocation with a higher ``min_version`` ends it.
    """

    user_id: int
    role: Role
    expires_at: float
    session_id: str | None = None
    version: int = 0
    scopes: frozenset[str] | None = None
    key_id: int | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the token is an administrator's."""
        return self.role == "admin"

    def may(self, scope: str) -> bool:
        """Whether the token or key covers ``scope``."""
        return self.scopes is None or scope in self.scopes


def key_id(secret_key: str) -> str:
    """The ``kid`` of a key: names it without giving it away."""
    return hashlib.sha256(secret_key.encode()).hexdigest()[:8]


def issue_access_token(
    keys: KeyRing | str,
    user_id: int,
    role: Role,
    now: float | None = None,
    *,
    session_id: str | None = None,
    version: int = 0,
) -> str:
    """A token for ``user_id`` that ends ``ACCESS_TOKEN_SECONDS`` after ``now`` (seconds since 1970).

    ``session_id`` (32 hexadecimal digits) ties it to a session; without one it belongs to a session of its own.
    """
    ring = _ring(keys)
    issued = int(time.time() if now is None else now)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(user_id),
        "role": role,
        "typ": TYPE,
        "iat": issued,
        "nbf": issued,
        "exp": issued + ACCESS_TOKEN_SECONDS,
        "jti": uuid.uuid4().hex,
        "sid": session_id or uuid.uuid4().hex,
        "ver": version,
    }
    return jwt.encode(claims, ring.current, algorithm=ALGORITHM, headers={"kid": key_id(ring.current)})


def verify_access_token(keys: KeyRing | str, token: str) -> Identity:
    """The identity in ``token``; ``Unauthenticated``, always with the same text, for anything else.

    Whether it was revoked meanwhile is another question: see ``users.revocations``.
    """
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise Unauthenticated
    try:
        key = _ring(keys).key_of(jwt.get_unverified_header(token).get("kid"))
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": list(_CLAIMS)},
        )
        return _identity(claims)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
        raise Unauthenticated from exc


def _identity(claims: dict[str, Any]) -> Identity:
    role, version, session_id = claims.get("role"), claims["ver"], claims["sid"]
    if claims.get("typ") != TYPE or role not in ("user", "admin"):
        raise Unauthenticated
    if not isinstance(version, int) or isinstance(version, bool) or not isinstance(session_id, str):
        raise Unauthenticated
    return Identity(int(claims["sub"]), role, float(claims["exp"]), session_id, version)


def _ring(keys: KeyRing | str) -> KeyRing:
    return KeyRing(keys) if isinstance(keys, str) else keys
