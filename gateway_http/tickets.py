"""Download tickets: an address that a browser opens by itself, so that large content goes straight to its disk.

A browser's own downloads carry no ``Authorization`` header, and content that a page fetches would lie in its memory. So
the page asks for a ticket: signed like an access token but for another audience, good for one path with its query, for
a minute, and only while the session or key that it was given to lasts. Nothing of it is kept.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import jwt
from werkzeug.wrappers import Response

from docsave_services.credentials import FILES_READ, Credentials
from docsave_services.errors import Unauthenticated
from docsave_services.tokens import ALGORITHM, ISSUER, Identity, KeyRing, key_id
from gateway_http.limits import TICKET_CHARACTERS_MAX, TICKET_SECONDS
from gateway_http.request import GatewayRequest
from gateway_http.responses import json_response

AUDIENCE = "docsave-download"
"""Not that of access tokens: neither passes for the other."""

_PARAMETER = "ticket="
_CLAIMS = ("exp", "iss", "aud", "sub", "target", "ver")


def new_ticket(request: GatewayRequest, path: str) -> Response:
    """201 with the address to open. Whether there is something to download is seen then."""
    ticket = issue_ticket(request.settings.keys, request.identity, path)
    joint = "&" if "?" in path else "?"
    return json_response({"url": f"{path}{joint}{_PARAMETER}{ticket}", "expires_in": TICKET_SECONDS}, 201)


def issue_ticket(keys: KeyRing, identity: Identity, path: str, now: float | None = None) -> str:
    """A ticket with which ``identity`` may download ``path`` until ``TICKET_SECONDS`` after ``now``."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(identity.user_id),
        "role": identity.role,
        "exp": int(time.time() if now is None else now) + TICKET_SECONDS,
        "sid": identity.session_id,
        "ver": identity.version,
        "key": identity.key_id,
        "target": _hashed(path),
    }
    return jwt.encode(claims, keys.current, algorithm=ALGORITHM, headers={"kid": key_id(keys.current)})


def has_ticket(request: GatewayRequest) -> bool:
    """Whether the request has a ticket instead of a header."""
    return "HTTP_AUTHORIZATION" not in request.environ and _PARAMETER in request.environ.get("QUERY_STRING", "")


def holder_of_ticket(request: GatewayRequest, credentials: Credentials) -> Identity:
    """Who the ticket was given to, with the right to read and no other. ``Unauthenticated`` when it is not one of ours,
    is for something else, has run out, or its session or key was ended meanwhile."""
    query, _, ticket = request.environ["QUERY_STRING"].rpartition(_PARAMETER)
    path = f"{request.environ['RAW_PATH_INFO']}?{query}"[:-1]
    identity = _identity(request.settings.keys, ticket, path)
    credentials.revocations.check(identity)
    return identity


def _identity(keys: KeyRing, ticket: str, path: str) -> Identity:
    if len(ticket) > TICKET_CHARACTERS_MAX:
        raise Unauthenticated
    try:
        key = keys.key_of(jwt.get_unverified_header(ticket).get("kid"))
        claims: dict[str, Any] = jwt.decode(
            ticket, key, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options={"require": list(_CLAIMS)}
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
        raise Unauthenticated from exc
    if claims["target"] != _hashed(path):
        raise Unauthenticated
    return Identity(
        user_id=int(claims["sub"]),
        role=claims["role"],
        expires_at=float(claims["exp"]),
        session_id=claims["sid"],
        version=claims["ver"],
        scopes=frozenset({FILES_READ}),
        key_id=claims["key"],
    )


def _hashed(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()
