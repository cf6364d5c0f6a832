"""The WSGI application: finds the route, answers every failure with a problem, writes one log line a request."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import structlog
from werkzeug.exceptions import MethodNotAllowed as WrongMethod
from werkzeug.routing import Map, MapAdapter
from werkzeug.wrappers import Response

from docsave_services import tracing
from docsave_services.errors import LengthRequired, MethodNotAllowed
from docsave_services.log import get_logger
from docsave_services.settings import Settings
from gateway_http.cors import add_cors_headers, add_preflight_headers
from gateway_http.measures import note_request, template_of
from gateway_http.problem import error_of, problem_response
from gateway_http.protocol import CLOSE_CONNECTION_KEY
from gateway_http.references import routable_path
from gateway_http.request import GatewayRequest
from gateway_http.tus import protocol as tus

_log = get_logger(__name__)


class GatewayApp:
    """Called by eventlet once a request, in the connection's green thread."""

    def __init__(self, url_map: Map, settings: Settings) -> None:
        self._url_map = url_map
        self._settings = settings

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started = time.monotonic()
        request = GatewayRequest(environ, self._settings)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        tracing.adopt(environ.get("HTTP_TRACEPARENT"))
        response = self._answer(request)
        response.headers["X-Request-Id"] = request.request_id
        add_cors_headers(response.headers, environ.get("HTTP_ORIGIN"), self._settings.cors_origins)
        if tus.concerns_uploads(request.path):
            tus.add_version_headers(response.headers, response.status_code)
        # A body without a length is no body by the book, but who sent one sends it still.
        if not request.body.finished or response.status_code == LengthRequired.status:
            environ[CLOSE_CONNECTION_KEY]()
        return _LoggedBody(request, response, response(environ, start_response), started)

    def _answer(self, request: GatewayRequest) -> Response:
        try:
            # Host is not used for routing, so it cannot make routing fail either.
            adapter = self._url_map.bind("docsave", path_info=routable_path(request.environ["RAW_PATH_INFO"]))
            if request.method == "OPTIONS":
                return self._options(adapter, request.path)
            provider, values = adapter.match(method=tus.method_of(request))
            request.path_values, request.route = dict(values), provider.url
            with tracing.span(f"{request.method} {template_of(provider.url)}", "server", root=True):
                response: Response = provider.handle_request(request)
        except WrongMethod as exc:
            allow = _methods(exc.valid_methods)
            return problem_response(MethodNotAllowed(), request.request_id, {"Allow": allow})
        except Exception as exc:
            return problem_response(error_of(exc), request.request_id)
        return response

    def _options(self, adapter: MapAdapter, path: str) -> Response:
        methods = adapter.allowed_methods()
        if not methods:
            adapter.match(method="OPTIONS")  # raises NotFound
        response = Response(status=204, headers={"Allow": _methods(methods)})
        add_preflight_headers(response.headers, _methods(methods))
        if tus.concerns_uploads(path):
            tus.add_abilities(response.headers, self._settings.max_file_bytes)
        return response


def _methods(methods: Iterable[str] | None) -> str:
    return ", ".join(sorted({*(methods or ()), "OPTIONS"}))


class _LoggedBody:
    """The answer's pieces on their way out; closing it closes the answer and writes the access log's line."""

    def __init__(self, request: GatewayRequest, response: Response, pieces: Iterable[bytes], started: float) -> None:
        self._request = request
        self._response = response
        self._pieces = pieces
        self._started = started
        self._bytes = 0
        self._complete = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece
            self._bytes += len(piece)
        self._complete = True

    def close(self) -> None:
        # For a HEAD werkzeug sends an empty body of its own and would leave the answer's open.
        self._response.close()
        seconds = time.monotonic() - self._started
        note_request(self._request, self._response.status_code, self._bytes, seconds)
        _log.info(
            "request",
            method=self._request.method,
            path=self._request.path,
            status=self._response.status_code,
            bytes=self._bytes,
            milliseconds=round(seconds * 1000, 1),
            request_id=self._request.request_id,
            **({} if self._complete else {"aborted": True}),
        )
