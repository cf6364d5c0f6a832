"""What stands in the path and the query of a request."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from docsave_services.domain.ids import ID_MAX
from gateway_http.openapi.components import tidy
from gateway_http.schemas import _shapes as shapes
from gateway_http.schemas import list_fields

Parameter = dict[str, Any]

_NUMBER = {"type": "integer", "minimum": 1, "maximum": ID_MAX}
_HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_NAME = {"type": "string", **shapes.FILE_NAME.keywords}

_PATH: dict[str, tuple[str, dict[str, Any], Any]] = {
    "id": ("The id.", _NUMBER, 1),
    "n": ("The version.", _NUMBER, 1),
    "session": ("The session, as the list of sessions names it.", _HEX, None),
    "upload": ("The upload, as its `Location` names it.", _HEX, None),
    "system": ("What the other system is called.", {"type": "string", **shapes.LABEL.keywords}, "crm"),
    "key": ("What it calls its thing.", _NAME, "42"),
    "name": ("What it calls the document of that thing.", _NAME, "offer.pdf"),
    "path": ("The file's name.", {"type": "string"}, "docs/docs.js"),
}
"""By the converter of the URL."""

_QUERY: dict[str, tuple[str, Any]] = {
    "action": ("Only this action, such as `login_failed`.", None),
    "after": ("The `next` of the page before.", None),
    "at": ("As it was: a time, or the `cursor` of an event.", "2026-11-24T10:15:00Z"),
    "created_after": ("Created after this time.", "2026-11-24T10:15:00Z"),
    "created_before": ("Created before this time.", None),
    "deleted": ("The trash.", None),
    "folder": ("In this folder.", "clients/acme"),
    "ids": ("Ids, with commas between them.", None),
    "label": ("With this label, or with this value of it; several must all fit.", ["crm.deal=42"]),
    "labels": ("Labels of the file, as JSON.", None),
    "limit": ("Most items of the page.", 100),
    "media_type": ("Of this media type, or of all of its kind.", "image/*"),
    "name": ("The name of a raw body's file.", "offer.txt"),
    "permanent": ("Away for good, also out of the trash.", None),
    "q": ("With this in the name; case does not count.", "offer"),
    "released": ("Also what is over.", None),
    "recursive": ("In the folder and below it.", None),
    "since": ("What came after this time or cursor.", None),
    "size": ("The size of the history whose head is known.", None),
    "size_max": ("Of at most so many bytes.", None),
    "size_min": ("Of at least so many bytes.", None),
    "sort": ("The order; `-` for descending.", "-updated_at"),
    "ticket": ("A download ticket, instead of a token; the last parameter.", None),
    "type": ("Only events of these types.", ["File_create"]),
    "under": ("This folder and those below it.", None),
    "updated_after": ("Changed after this time.", None),
    "updated_before": ("Changed before this time.", None),
    "user_id": ("For administrators: of this account (`all`, where it may be: of everybody).", None),
    "wait": ("Seconds to wait for the first event.", 0),
}


def path_parameters(url: str) -> list[Parameter]:
    """The values in a URL such as ``/files/<id:file_id>``, in their order."""
    return [_path_parameter(converter) for converter in re.findall(r"<(\w+):\w+>", url)]


def _path_parameter(converter: str) -> Parameter:
    text, schema, example = _PATH[converter]
    parameter = {"name": converter, "in": "path", "required": True, "description": text, "schema": schema}
    return parameter if example is None else {**parameter, "example": example}


def query_parameters(model: type[BaseModel]) -> list[Parameter]:
    """The fields of a query's model."""
    properties = tidy(model.model_json_schema())["properties"]
    repeatable = list_fields(model)
    return [_query_parameter(name, _without_null(schema), name in repeatable) for name, schema in properties.items()]


def _query_parameter(name: str, schema: dict[str, Any], repeatable: bool) -> Parameter:
    text, example = _QUERY[name]
    parameter: Parameter = {"name": name, "in": "query", "description": text}
    if schema.get("type") == "object":
        return {**parameter, "content": {"application/json": {"schema": schema}}}
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": repeatable}
    return {**parameter, "schema": schema} | ({} if example is None else {"example": example})


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: a field is there or it is not."""
    kept = {key: value for key, value in schema.items() if key != "default" or value is not None}
    choices = kept.pop("anyOf", None)
    if choices is None:
        return kept
    choices = [choice for choice in choices if choice.get("type") != "null"]
    return {**kept, **choices[0]} if len(choices) == 1 else {**kept, "anyOf": choices}
