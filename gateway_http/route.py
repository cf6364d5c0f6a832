"""The one decorator of the API's routes. Never beside Nameko's stock ``http``: two servers would share the port."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from eventlet.event import Event
from nameko.extensions import Entrypoint
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.wrappers import Response

from docsave_services import tracing
from docsave_services.credentials import Credentials, credentials_of
from docsave_services.errors import DocsaveError
from docsave_services.nameko_ext.request_context import REQUEST_ID_KEY
from docsave_services.tokens import Identity
from gateway_http.auth import Access, authenticate, authorise
from gateway_http.deferred import Deferred
from gateway_http.idempotency import key_in
from gateway_http.limits import JSON_BYTES_MAX
from gateway_http.problem import error_of, problem_response
from gateway_http.request import GatewayRequest
from gateway_http.responses import json_response
from gateway_http.schemas import Strict
from gateway_http.server import GatewayServer
from gateway_http.tickets import has_ticket, holder_of_ticket

_READING = ("GET", "HEAD")


class HttpRoute(Entrypoint):
    """Runs a method for requests of ``method`` and ``url``; every failure becomes a problem.

    First who asks (401), then whether ``body`` or ``query`` is what the route takes (400, 415, 422), then whether the
    caller may do that (403): the order of CONTRACT, section 8. A change without a ``query`` takes no field at all:
    ``?version=3`` would else be taken for heard. The method gets the ``GatewayRequest``, what was read
    of body or query, and the URL's values; it returns a ``Response`` or what becomes JSON, or defers either. After one
    that ``revokes`` something, this process knows of it before it answers. A ``repeatable`` one honours
    ``Idempotency-Key``. One that ``takes_tickets`` may be asked with a download ticket instead of a header.
    """

    server = GatewayServer()

    def __init__(
        self,
        method: str,
        url: str,
        access: Access,
        body: type[BaseModel] | None = None,
        query: type[BaseModel] | None = None,
        revokes: bool = False,
        repeatable: bool = False,
        takes_tickets: bool = False,
        body_bytes_max: int = JSON_BYTES_MAX,
        **kwargs: Any,
    ) -> None:
        self.method = method
        self.url = url
        self.access = access
        self.body = body
        self.query = query
        self.revokes = revokes
        self.repeatable = repeatable
        self.takes_tickets = takes_tickets
        self.body_bytes_max = body_bytes_max
        super().__init__(expected_exceptions=(DocsaveError, HTTPException), **kwargs)

    @property
    def takes_no_query(self) -> bool:
        """Whether any field of a query is one too many."""
        return self.query is None and self.method not in _READING

    def get_url_rule(self) -> Rule:
        """What the server's URL map needs to know."""
        return Rule(self.url, methods=[self.method])

    def setup(self) -> None:
        self.server.register_provider(self)

    def stop(self) -> None:
        # Answers still need the RPC replies that stop after the entrypoints.
        self.server.drain()
        self.server.unregister_provider(self)

    def handle_request(self, request: GatewayRequest) -> Response:
        """Answer ``request``; never raises."""
        try:
            credentials = credentials_of(self.container)
            request.verified_identity = self._caller(request, credentials)
            inputs = self._inputs(request)
            authorise(request, self.access)
            with self._alone(request):
                result = self._run(request, inputs)
            if isinstance(result, Deferred):
                deferred, result = result, result.finish()
                if deferred.asks_again:
                    self._caller(request, credentials)
        except Exception as exc:
            return problem_response(error_of(exc), request.request_id)
        return result if isinstance(result, Response) else json_response(result)

    def _caller(self, request: GatewayRequest, credentials: Credentials) -> Identity | None:
        if self.takes_tickets and has_ticket(request):
            return holder_of_ticket(request, credentials)
        return authenticate(request, self.access, credentials)

    def _inputs(self, request: GatewayRequest) -> list[BaseModel]:
        if self.repeatable:
            request.idempotency_key = key_in(request.environ)
        inputs = [] if self.body is None else [request.json_as(self.body, self.body_bytes_max)]
        if self.query is not None:
            inputs.append(request.query_as(self.query))
        elif self.takes_no_query:
            request.query_as(Strict)
        return inputs

    def _alone(self, request: GatewayRequest) -> AbstractContextManager[None]:
        """Beside no other request with the same key. Before the body is read: it need not be kept by two at once."""
        key = request.idempotency_key
        return nullcontext() if key is None else self.server.under_way.one_at_a_time(request.identity.user_id, key)

    def _run(self, request: GatewayRequest, inputs: list[BaseModel]) -> Any:
        done = Event()
        self.container.spawn_worker(
            self,
            (request, *inputs),
            request.path_values,
            context_data={REQUEST_ID_KEY: request.request_id, **tracing.carried()},
            handle_result=partial(_hand_back, done),
        )
        try:
            return done.wait()
        finally:
            if self.revokes:
                credentials_of(self.container).revocations.catch_up()


def _hand_back(done: Event, _worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
    done.send(result, exc_info)
    return result, exc_info


class _Expected(logging.Filter):
    """Drops Nameko's traceback of an error that is an answer: the access log has its line already."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("(expected) error handling worker")


logging.getLogger("nameko.containers").addFilter(_Expected())

route = HttpRoute.decorator
