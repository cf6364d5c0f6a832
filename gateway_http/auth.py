"""Who a request comes from, and what that person or program may ask for."""

from __future__ import annotations

import re
from enum import Enum

from docsave_services.credentials import EVENTS_READ, FILES_READ, FILES_WRITE, Credentials, require_scope
from docsave_services.errors import Forbidden, InsufficientScope, Unauthenticated
from docsave_services.tokens import Identity
from gateway_http.request import GatewayRequest

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


class Access(Enum):
    """What a route asks of its caller. Every route says which; there is no default to forget."""

    PUBLIC = "anyone"
    REGISTRATION = "as DOCSAVE_REGISTRATION says: anyone, or an administrator"
    PERSON = "a person: an access token, not an API key"
    ADMIN = "an administrator in person"
    FILES_READ = FILES_READ
    FILES_WRITE = FILES_WRITE
    EVENTS_READ = EVENTS_READ


_SCOPED = (Access.FILES_READ, Access.FILES_WRITE, Access.EVENTS_READ)


def authenticate(request: GatewayRequest, access: Access, credentials: Credentials) -> Identity | None:
    """The caller's identity; None where ``access`` asks for none. ``Unauthenticated`` without a valid credential."""
    if _is_open(request, access):
        return None
    match = _BEARER.fullmatch(request.environ.get("HTTP_AUTHORIZATION", ""))
    if match is None:
        raise Unauthenticated
    return credentials.identify(match[1])


def authorise(request: GatewayRequest, access: Access) -> None:
    """``InsufficientScope`` or ``Forbidden`` when the caller may not do this, whatever it concerns."""
    if _is_open(request, access):
        return
    identity = request.identity
    if access in _SCOPED:
        require_scope(identity, access.value)
        return
    if identity.scopes is not None:
        raise InsufficientScope("Accounts, keys and the audit trail are for people, not for API keys")
    if access is not Access.PERSON and not identity.is_admin:
        raise Forbidden("Only an administrator may do this")


def _is_open(request: GatewayRequest, access: Access) -> bool:
    return access is Access.PUBLIC or (access is Access.REGISTRATION and request.settings.registration == "open")
