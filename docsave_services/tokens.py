"""Access tokens: signed JWTs that the gateway and the bridge verify without asking anyone."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts: taken from a verified token, never from what a client says beside it."""

    user_id: int
    role: Role
    expires_at: float

    @property
    def is_admin(self) -> bool:
        """Whether the token is an administrator's."""
        return self.role == "admin"


def issue_access_token(secret_key: str, user_id: int, role: Role, now: float | None = None) -> str:
    """A token for ``user_id`` that ends ``ACCESS_TOKEN_SECONDS`` after ``now`` (seconds since 1970)."""
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
    }
    return jwt.encode(claims, secret_key, algorithm=ALGORITHM)


def verify_access_token(secret_key: str, token: str) -> Identity:
    """The identity in ``token``; ``Unauthenticated``, always with the same text, for anything else."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise Unauthenticated
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            secret_key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"]},
        )
        role = claims.get("role")
        if claims.get("typ") != TYPE or role not in ("user", "admin"):
            raise Unauthenticated
        return Identity(int(claims["sub"]), role, float(claims["exp"]))
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
        raise Unauthenticated from exc
