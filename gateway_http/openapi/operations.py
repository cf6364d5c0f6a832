"""One operation of the document: a route, as its declaration and the table of its subject tell it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway_http.auth import Access
from gateway_http.openapi import parameters
from gateway_http.openapi.components import Schemas, markdown
from gateway_http.openapi.problems import ProblemAnswers, problems_of
from gateway_http.openapi.vocabulary import BYTES, JSON, Answer, Takes, Told
from gateway_http.route import HttpRoute
from gateway_http.schemas import _shapes as shapes
from gateway_http.tus.protocol import CONTENT_TYPE as PIECE

Operation = dict[str, Any]

_BINARY = {"type": "string", "format": "binary"}
_FORM = "multipart/form-data"
_FIELDS = {
    "folder": {"type": "string", **shapes.FOLDER.keywords},
    "labels": {"type": "object", **shapes.LABELS.keywords},
}


@dataclass(frozen=True, slots=True)
class Route:
    """A route with the name and the docstring of its method."""

    name: str
    declared: HttpRoute
    text: str


@dataclass(frozen=True, slots=True)
class Describer:
    """Makes operations; what they share is gathered in ``schemas`` and ``problems``."""

    schemas: Schemas
    problems: ProblemAnswers

    def operations(self, route: Route, told: Told, subject: str) -> Iterator[tuple[str, Operation]]:
        """The operation of ``route`` by its method, and that of HEAD where it is told."""
        method = route.declared.method.lower()
        yield method, self._operation(route, told, subject, route.name, with_body=method != "head")
        if told.head:
            yield "head", self._operation(route, told, subject, f"{route.name}_headers", with_body=False)

    def _operation(self, route: Route, told: Told, subject: str, name: str, with_body: bool) -> Operation:
        summary, _, rest = markdown(route.text).partition("\n\n")
        operation: Operation = {
            "operationId": name,
            "tags": [subject],
            "summary": summary.removesuffix("."),
            "description": " ".join(part for part in (rest, told.more, _who(route.declared)) if part),
            "security": _security(route.declared.access),
            "parameters": _parameters(route.declared, told),
            "responses": self._responses(route.declared, told, with_body),
        }
        body = self._request_body(route.declared, told)
        return operation if body is None else {**operation, "requestBody": body}

    def _request_body(self, route: HttpRoute, told: Told) -> dict[str, Any] | None:
        if route.body is not None:
            return {"required": True, "content": {JSON: {"schema": self.schemas.of(route.body)}}}
        return _content_taken(told.takes)

    def _responses(self, route: HttpRoute, told: Told, with_body: bool) -> dict[str, Any]:
        answers = self.problems.of(problems_of(route, told), with_body)
        for answer in told.answers:
            status = str(answer.status)
            described = self._answer(answer, with_body)
            if status in answers:  # the problem with this status is an answer of another media type
                problem = self.problems.components[answers[status]["$ref"].rpartition("/")[2]]
                described["content"] |= problem["content"]
            answers[status] = described
        return dict(sorted(answers.items()))

    def _answer(self, answer: Answer, with_body: bool) -> dict[str, Any]:
        names = ("X-Request-Id", *answer.headers)
        described: dict[str, Any] = {
            "description": answer.text,
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        }
        if answer.body is None or not with_body:
            return described
        if isinstance(answer.body, tuple):
            described["content"] = {media_type: {"schema": _BINARY} for media_type in answer.body}
        else:
            described["content"] = {JSON: {"schema": self.schemas.of(answer.body)}}
        return described


def _parameters(route: HttpRoute, told: Told) -> list[dict[str, Any]]:
    names = ("X-Request-Id", *(("Idempotency-Key",) if route.repeatable else ()), *told.headers)
    return [
        *parameters.path_parameters(route.url),
        *(() if route.query is None else parameters.query_parameters(route.query)),
        *({"$ref": f"#/components/parameters/{name}"} for name in names),
    ]


def _content_taken(takes: Takes) -> dict[str, Any] | None:
    if takes is Takes.NOTHING:
        return None
    if takes in (Takes.PIECE, Takes.FIRST_PIECE):
        return {"required": takes is Takes.PIECE, "content": {PIECE: {"schema": _BINARY}}}
    fields = {} if takes is Takes.CONTENT else _FIELDS
    form: dict[str, Any] = {
        "schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY, **fields}},
        "encoding": {"file": {"contentType": BYTES}},
    }
    if fields:
        form["encoding"]["labels"] = {"contentType": JSON}
    return {"required": True, "content": {_FORM: form, BYTES: {"schema": _BINARY}}}


def _security(access: Access) -> list[dict[str, list[str]]]:
    if access is Access.PUBLIC:
        return []
    if access is Access.REGISTRATION:
        return [{}, {"token": []}]
    scoped = access in (Access.FILES_READ, Access.FILES_WRITE, Access.EVENTS_READ)
    return [{"token": [access.value] if scoped else []}]


def _who(route: HttpRoute) -> str:
    return {
        Access.PUBLIC: "",
        Access.REGISTRATION: "",
        Access.PERSON: "For people: an access token, not an API key.",
        Access.ADMIN: "For administrators in person.",
    }.get(route.access, f"An API key needs the scope `{route.access.value}`.")
