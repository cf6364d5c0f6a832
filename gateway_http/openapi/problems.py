"""How requests fail: which problems a route may answer, and what they look like."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from docsave_services.errors import (
    BadJson,
    BadMultipart,
    BadRequest,
    BodyTimeout,
    BodyTruncated,
    DatabaseUnavailable,
    DigestMismatch,
    DocsaveError,
    Forbidden,
    HeadersTooLarge,
    IdempotencyKeyReused,
    InProgress,
    InsufficientScope,
    InternalError,
    InvalidInput,
    LengthRequired,
    RpcTimeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
    UriTooLong,
)
from gateway_http.auth import Access
from gateway_http.openapi.components import markdown
from gateway_http.openapi.vocabulary import Problems, Takes, Told
from gateway_http.problem import MEDIA_TYPE
from gateway_http.route import HttpRoute

Component = dict[str, Any]

_ANY: Problems = (BadRequest, BodyTimeout, UriTooLong, HeadersTooLarge, InternalError, Unavailable)
_SERVICES: Problems = (RpcTimeout, DatabaseUnavailable)
_JSON: Problems = (BadJson, BodyTruncated, LengthRequired, TooLarge, UnsupportedMediaType, InvalidInput)
_CONTENT: Problems = (BodyTruncated, DigestMismatch, LengthRequired, TooLarge, UnsupportedMediaType, InvalidInput)
_ACCESS: dict[Access, Problems] = {
    Access.PUBLIC: (),
    Access.REGISTRATION: (Unauthenticated, InsufficientScope, Forbidden),
    Access.PERSON: (Unauthenticated, InsufficientScope),
    Access.ADMIN: (Unauthenticated, InsufficientScope, Forbidden),
}
_SCOPED: Problems = (Unauthenticated, InsufficientScope)
_FORMS = (Takes.NEW_FILE, Takes.FILE_WITH_FIELDS, Takes.CONTENT)

_HEADERS = {
    401: ("WWW-Authenticate",),
    416: ("Content-Range", "Accept-Ranges"),
    423: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def problems_of(route: HttpRoute, told: Told) -> list[type[DocsaveError]]:
    """Every problem that ``route`` may answer, in the order of their statuses."""
    found = [*_ANY, *told.also, *_ACCESS.get(route.access, _SCOPED)]
    found += _SERVICES if told.asks_services else ()
    found += _JSON if route.body else ()
    found += (InvalidInput,) if route.query or route.takes_no_query else ()
    found += (*_CONTENT, BadMultipart) if told.takes in _FORMS else ()
    found += (InProgress, IdempotencyKeyReused, InvalidInput) if route.repeatable else ()
    return sorted(set(found), key=lambda error: (error.status, error.code))


class ProblemAnswers:
    """Answers with problems, by name; the same one wherever the same may go wrong."""

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}

    def of(self, problems: Iterable[type[DocsaveError]], with_body: bool) -> dict[str, Component]:
        """The answers for ``problems`` (ordered by status), by status. To HEAD they have no body."""
        by_status = {str(status): list(errors) for status, errors in groupby(problems, key=lambda e: e.status)}
        if not with_body:
            return {status: _answer(errors, with_body=False) for status, errors in by_status.items()}
        return {status: self._reference(errors) for status, errors in by_status.items()}

    def _reference(self, errors: list[type[DocsaveError]]) -> Component:
        name = ".".join(error.__name__ for error in errors)
        self.components.setdefault(name, _answer(errors, with_body=True))
        return {"$ref": f"#/components/responses/{name}"}


def _answer(errors: list[type[DocsaveError]], with_body: bool) -> Component:
    status = errors[0].status
    names = ("X-Request-Id", *_HEADERS.get(status, ()))
    answer: Component = {
        "description": "\n".join(f"- `{error.code}`: {_meaning(error)}" for error in errors),
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    if with_body:
        answer["content"] = {MEDIA_TYPE: _problem(errors)}
    return answer


def _problem(errors: list[type[DocsaveError]]) -> Component:
    told = {"status": {"const": errors[0].status}, "code": {"enum": [error.code for error in errors]}}
    return {
        "schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": told}]},
        "examples": {error.code: {"value": _example(error)} for error in errors},
    }


def _example(error: type[DocsaveError]) -> dict[str, Any]:
    example = {
        "type": f"urn:docsave:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": _meaning(error),
        "code": error.code,
        "request_id": "fe18a271feb04a959241b141730942dc",
    }
    if error is InvalidInput:
        example |= {
            "detail": "name: must not contain / or \\",
            "errors": [{"field": "name", "message": "must not contain / or \\"}],
        }
    return example


def _meaning(error: type[DocsaveError]) -> str:
    return markdown(error.__doc__ or error.title).splitlines()[0]


def all_codes(base: type[DocsaveError] = DocsaveError) -> set[str]:
    """The codes of all errors that there are."""
    return {base.code}.union(*(all_codes(kind) for kind in base.__subclasses__()))
