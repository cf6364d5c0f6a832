"""What requests may contain. Strict: a field that is not named here is refused, nothing is converted in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from docsave_services.domain.names import name_problem
from docsave_services.errors import BadRequest, FieldError, InvalidInput
from gateway_http.limits import QUERY_FIELDS_MAX

ModelT = TypeVar("ModelT", bound=BaseModel)

_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _whole_number(value: Any) -> Any:
    """Query strings are text; only plain decimal digits count as a number (no sign, space or underscore)."""
    return int(value) if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value) else value


def _flag(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _file_name(value: str) -> str:
    problem = name_problem(value)
    if problem:
        raise ValueError(problem)
    return value


FileName = Annotated[str, AfterValidator(_file_name)]
FileId = Annotated[int, Field(ge=1, lt=2**31)]


class NewUser(_Strict):
    """``POST /users``. What a login or password may be is the users service's business."""

    login: str
    password: str
    name: str | None = None


class Credentials(_Strict):
    """``POST /login``."""

    login: str
    password: str


class UserPatch(_Strict):
    """``PATCH /users/me``: what is not sent stays as it is; null is not a value of any field."""

    login: str = ""
    name: str = ""
    password: str = ""
    current_password: str = ""


class FilePatch(_Strict):
    """``PATCH /files/{id}``."""

    name: FileName


class UploadQuery(_Strict):
    """``POST /files``: the name of a raw body."""

    name: FileName | None = None


class FileListQuery(_Strict):
    """``GET /files``. ``user_id`` is for administrators: another account's id, or ``all``."""

    limit: Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=4096)] | None = None
    q: Annotated[str, Field(max_length=255)] | None = None
    sort: Literal["name", "-name", "size", "-size", "created_at", "-created_at", "updated_at", "-updated_at"] | None = (
        None
    )
    deleted: Annotated[bool, BeforeValidator(_flag)] = False
    user_id: Literal["all"] | Annotated[FileId, BeforeValidator(_whole_number)] | None = None


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


def query_fields(query_string: str) -> dict[str, str]:
    """The fields of a query string as WSGI gives it; ``BadRequest`` for what is not UTF-8, ``InvalidInput`` for a
    repeated field."""
    try:
        text = query_string.encode("latin-1").decode("utf-8")  # WSGI's strings are bytes in disguise (PEP 3333)
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as exc:
        raise BadRequest("The query string cannot be read") from exc
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise InvalidInput.for_field(name[:100], "is given twice")
        fields[name] = value
    return fields
