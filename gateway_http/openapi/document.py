"""The whole OpenAPI document."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from docsave_services import __version__
from docsave_services.contracts import FileEvent
from gateway_http.openapi import answers, headers
from gateway_http.openapi.accounts import ACCOUNTS
from gateway_http.openapi.components import Schemas
from gateway_http.openapi.documents import DOCUMENTS
from gateway_http.openapi.events import CHANGES, WEBHOOKS
from gateway_http.openapi.history import HISTORY
from gateway_http.openapi.links import add_links
from gateway_http.openapi.operation import OPERATION
from gateway_http.openapi.operations import Describer, Route
from gateway_http.openapi.problems import ProblemAnswers, all_codes
from gateway_http.openapi.sent import sent_requests
from gateway_http.openapi.uploads import UPLOADS
from gateway_http.openapi.vocabulary import Told
from gateway_http.route import HttpRoute

SUBJECTS = (ACCOUNTS, DOCUMENTS, HISTORY, UPLOADS, CHANGES, WEBHOOKS, OPERATION)

_TEXT = """\
Saves a company's documents, under user accounts, with every change as a new version.

- JSON in and out, times in RFC 3339 UTC, ids are whole numbers. An unknown field is 422. Later versions may answer more
  fields.
- Errors are `application/problem+json` (RFC 9457) with a stable `code`. A path that is not here is 404, a method that a
  path does not have 405 with `Allow`.
- Send `Authorization: Bearer <token>`: an access token from `POST /login`, or an API key.
- A GET may be a HEAD. Pages of all origins that the operator allows may call.
- What happens is also told over Socket.IO, on a port of its own: `/asyncapi.json` there is the AsyncAPI document.
"""


def document(service: type) -> dict[str, Any]:
    """The document of all routes of ``service``, as JSON values. ``KeyError`` for a route that no subject tells of."""
    routes = {route.name: route for route in routes_of(service)}
    told = {name: (entry, subject.name) for subject in SUBJECTS for name, entry in subject.routes.items()}
    problems = ProblemAnswers()
    schemas = Schemas(
        [route.declared.body for route in routes.values() if route.declared.body],
        [*_answered(entry for entry, _ in told.values()), answers.Problem, FileEvent],
    )
    describer = Describer(schemas, problems)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes.values():
        operations = describer.operations(route, *told[route.name])
        paths.setdefault(as_path(route.declared.url), {}).update(operations)
    add_links(paths)
    schemas.components["Problem"]["properties"]["code"]["enum"] = sorted(all_codes())
    return {
        "openapi": "3.1.0",
        "info": {"title": "docsave", "version": __version__, "description": _TEXT},
        "servers": [{"url": "/"}],
        "tags": [{"name": subject.name, "description": subject.text} for subject in SUBJECTS],
        "paths": paths,
        "webhooks": sent_requests(),
        "components": {
            "securitySchemes": {"token": _TOKEN},
            "schemas": schemas.components,
            "parameters": headers.request_headers(),
            "headers": headers.answer_headers(),
            "responses": problems.components,
        },
    }


_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access token (`POST /login`), which may do all that its user may, or an API key (`POST"
    " /api-keys`), which may do what its scopes say: `files:read`, `files:write`, `events:read`.",
}


def routes_of(service: type) -> Iterator[Route]:
    """The routes of a service in the order of its methods."""
    for name, method in vars(service).items():
        for entrypoint in getattr(method, "nameko_entrypoints", ()):
            if isinstance(entrypoint, HttpRoute):
                yield Route(name, entrypoint, inspect.getdoc(method) or "")


def as_path(url: str) -> str:
    """``/files/<id:file_id>`` as documents write it: ``/files/{id}``."""
    return re.sub(r"<(\w+):\w+>", r"{\1}", url)


def _answered(told: Iterator[Told]) -> Iterator[Any]:
    for entry in told:
        yield from (a.body for a in entry.answers if a.body is not None and not isinstance(a.body, tuple))
