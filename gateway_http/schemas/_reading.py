"""From what a client sent to a model, with the reason for each field that is wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Self, TypeVar, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from docsave_services.errors import BadRequest, FieldError, InvalidInput
from gateway_http.limits import QUERY_FIELDS_MAX

ModelT = TypeVar("ModelT", bound=BaseModel)

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


class Strict(BaseModel):
    """A field that is not named is refused, nothing is converted in silence."""

    model_config = STRICT


def _says_no_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Patch(BaseModel):
    """A change of some fields: what is not sent stays as it is, so no default is told."""

    model_config = STRICT | ConfigDict(json_schema_extra=_says_no_defaults)


def _says_one_at_least(schema: dict[str, Any]) -> None:
    _says_no_defaults(schema)
    schema["minProperties"] = 1


class SomeChange(Patch):
    """A change of one field at least."""

    model_config = STRICT | ConfigDict(json_schema_extra=_says_one_at_least)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"must have at least one of {', '.join(type(self).model_fields)}")
        return self


def validated(model: type[ModelT], value: Any) -> ModelT:
    """``value`` as ``model``; ``InvalidInput`` that names each wrong field otherwise."""
    if not isinstance(value, Mapping):
        raise InvalidInput("The body must be a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        errors = _field_errors(exc)
        raise InvalidInput("; ".join(f"{e['field']}: {e['message']}" for e in errors), errors) from exc


def _field_errors(exc: ValidationError) -> list[FieldError]:
    """One entry a field, without the value: it may be a password."""
    reasons: dict[str, str] = {}
    for error in exc.errors(include_url=False, include_input=False, include_context=False):
        field = str(error["loc"][0]) if error["loc"] else "body"
        message = "is not a known field" if error["type"] == "extra_forbidden" else error["msg"]
        reasons.setdefault(field[:100], message.removeprefix("Value error, "))
    return [{"field": field, "message": message} for field, message in reasons.items()]


def list_fields(model: type[BaseModel]) -> set[str]:
    """The fields of ``model`` that a query string may repeat."""
    return {name for name, field in model.model_fields.items() if get_origin(field.annotation) is list}


def query_fields(query_string: str, repeatable: Collection[str] = ()) -> dict[str, str | list[str]]:
    """The fields of a query string as WSGI gives it, those in ``repeatable`` as lists; ``BadRequest`` for what is not
    UTF-8, ``InvalidInput`` for another field that comes twice."""
    try:
        text = query_string.encode("latin-1").decode("utf-8")  # WSGI's strings are bytes in disguise (PEP 3333)
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as exc:
        raise BadRequest("The query string cannot be read") from exc
    single: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        if name in repeatable:
            lists.setdefault(name, []).append(value)
        elif name in single:
            raise InvalidInput.for_field(name[:100], "is given twice")
        else:
            single[name] = value
    return {**single, **lists}
