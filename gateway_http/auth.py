"""Who a request comes from: a verified token, nothing else."""

from __future__ import annotations

import re
from enum import Enum

from docsave_services.errors import Forbidden, Unauthenticated
from docsave_services.settings import Settings
from docsave_services.tokens import Identity, verify_access_token
from gateway_http.request import GatewayRequest

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


class Access(Enum):
    """What a route asks of its caller before anything of the request is looked at."""

    PUBLIC = "anyone"
    TOKEN = "a valid access token"  # noqa: S105 - a description
    REGISTRATION = "as DOCSAVE_REGISTRATION says: nothing, or a token"


def authenticate(request: GatewayRequest, access: Access) -> Identity | None:
    """The caller's identity; None where ``access`` asks for none. ``Unauthenticated`` without a valid token."""
    settings = request.settings
    if access is Access.PUBLIC or (access is Access.REGISTRATION and settings.registration == "open"):
        return None
    match = _BEARER.fullmatch(request.environ.get("HTTP_AUTHORIZATION", ""))
    if match is None:
        raise Unauthenticated
    return verify_access_token(settings.secret_key, match[1])


def check_registration(settings: Settings, request: GatewayRequest) -> None:
    """``Forbidden`` when only administrators create accounts and the caller is not one."""
    if settings.registration == "admin" and not request.identity.is_admin:
        raise Forbidden("Only an administrator may create accounts")
