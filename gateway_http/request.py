"""A request as routes see it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Request

from docsave_services.domain.client_address import client_address
from docsave_services.errors import Unauthenticated, UnsupportedMediaType
from docsave_services.settings import Settings
from docsave_services.tokens import Identity
from gateway_http.body import RequestBody
from gateway_http.limits import JSON_BYTES_MAX
from gateway_http.request_id import request_id_from
from gateway_http.schemas import list_fields, query_fields, validated
from gateway_http.strict_json import parse_json

ModelT = TypeVar("ModelT", bound=BaseModel)


class GatewayRequest(Request):
    """Adds identity, request id and our own body; werkzeug's parsing of bodies and queries is never used."""

    path_values: dict[str, Any]

    def __init__(self, environ: dict[str, Any], settings: Settings) -> None:
        super().__init__(environ, shallow=True)
        self.settings = settings
        self.request_id = request_id_from(environ.get("HTTP_X_REQUEST_ID"))
        self.verified_identity: Identity | None = None
        self.idempotency_key: str | None = None
        self.route: str | None = None
        self.body: RequestBody = environ["wsgi.input"]
        self.body.stall_seconds = settings.body_timeout_seconds

    @property
    def client_address(self) -> str:
        """Where the request comes from; behind proxies that the operator trusts, what they say."""
        forwarded = self.environ.get("HTTP_X_FORWARDED_FOR", "")
        return client_address(self.environ.get("REMOTE_ADDR", ""), forwarded, self.settings.trusted_proxies)

    @property
    def actor(self) -> dict[str, Any]:
        """Who does this, with what and from where, as the services want it for the audit trail."""
        identity = self.verified_identity
        return {
            "by": identity.user_id if identity else None,
            "address": self.client_address,
            "session_id": identity.session_id if identity else None,
            "key_id": identity.key_id if identity else None,
        }

    @property
    def identity(self) -> Identity:
        """Who acts; ``Unauthenticated`` when the route asked for no token and none was verified."""
        if self.verified_identity is None:
            raise Unauthenticated
        return self.verified_identity

    def json_as(self, model: type[ModelT], bytes_max: int = JSON_BYTES_MAX) -> ModelT:
        """The body as ``model``. Raises ``UnsupportedMediaType``, ``TooLarge``, ``BadJson``, ``InvalidInput``."""
        media_type, options = parse_options_header(self.environ["CONTENT_TYPE"])
        if media_type.lower() != "application/json" or options.get("charset", "utf-8").lower() != "utf-8":
            raise UnsupportedMediaType("Send application/json")
        return validated(model, parse_json(self.body.read_all(bytes_max, self.settings.body_timeout_seconds)))

    def query_as(self, model: type[ModelT]) -> ModelT:
        """The query string as ``model``; ``InvalidInput`` names a field that is wrong or unknown."""
        return validated(model, query_fields(self.environ.get("QUERY_STRING", ""), list_fields(model)))
