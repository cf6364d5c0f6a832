"""What the OpenAPI document says of an answer that a test got: whether it is told of at all, and what it contains."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import jsonschema
import requests

from gateway import Gateway
from gateway_http.openapi import document

Operation = dict[str, Any]


def check_status(answer: requests.Response) -> None:
    """The status of ``answer`` and the code of a problem are told of. No route: nothing is checked."""
    operation = operation_of(answer)
    if operation is None:
        return
    told = _told(operation, answer)
    assert told is not None, f"{_name(operation, answer)} is not documented"
    if answer.headers.get("Content-Type") == "application/problem+json" and answer.content:
        code = answer.json()["code"]
        assert f"`{code}`" in told["description"], f"{_name(operation, answer)}: {code} is not documented"


def check_body(answer: requests.Response) -> None:
    """The JSON of a success is what the document says, with no further field."""
    operation = operation_of(answer)
    if operation is None or not answer.content or answer.headers.get("Content-Type") != "application/json":
        return
    schema = (_told(operation, answer) or {})["content"]["application/json"]["schema"]
    _validator(json.dumps(schema)).validate(answer.json())


def operation_of(answer: requests.Response) -> Operation | None:
    """The operation that the request of ``answer`` called."""
    path = re.sub(r"^https?://[^/]+", "", answer.request.url or "").partition("?")[0]
    methods = next((item for pattern, item in _paths() if pattern.fullmatch(path)), {})
    operation: Operation | None = methods.get((answer.request.method or "").lower())
    return operation


@functools.cache
def _document() -> dict[str, Any]:
    return document(Gateway)


@functools.cache
def _paths() -> list[tuple[re.Pattern[str], dict[str, Operation]]]:
    """Fixed paths before those with values: ``/files/archive`` is no ``/files/{id}``."""
    paths = sorted(_document()["paths"].items(), key=lambda entry: entry[0].count("{"))
    return [(re.compile(re.sub(r"{\w+}", "[^/]+", path)), item) for path, item in paths]


@functools.cache
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    """Of a schema as JSON; objects that name their fields have no others."""
    whole = {**json.loads(schema), "components": {"schemas": _strict(_document()["components"]["schemas"])}}
    return jsonschema.Draft202012Validator(whole)


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    return (
        {"additionalProperties": False, **made} if schema.get("type") == "object" and "properties" in schema else made
    )


def _told(operation: Operation, answer: requests.Response) -> dict[str, Any] | None:
    told: dict[str, Any] | None = operation["responses"].get(str(answer.status_code))
    if told is not None and "$ref" in told:
        return dict(_document()["components"]["responses"][told["$ref"].rpartition("/")[2]])
    return told


def _name(operation: Operation, answer: requests.Response) -> str:
    return f"{operation['operationId']}: {answer.status_code}"
