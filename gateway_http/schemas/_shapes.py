"""The rules of texts as regular expressions (ECMA-262), for the OpenAPI document. Tests hold each against its rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue

from docsave_services.domain.accounts import LOGIN_CHARACTERS, NAME_CHARACTERS, PASSWORD_CHARACTERS
from docsave_services.domain.folders import FOLDER_CHARACTERS_MAX, FOLDER_SEGMENTS_MAX
from docsave_services.domain.labels import LABEL_CHARACTERS_MAX, LABELS_MAX, VALUE_CHARACTERS_MAX
from docsave_services.domain.names import NAME_CHARACTERS_MAX

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_NOT_IN_NAMES = rf"{_CONTROLS}/\\\u202a-\u202e\u2066-\u2069"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,62}[A-Za-z0-9])?"
_SEGMENT = rf"(?!\.{{1,2}}(?:/|$))(?!\s+(?:/|$))[^{_NOT_IN_NAMES}]+"
_MEDIA_TYPE_PART = r"[A-Za-z0-9!#$&^_.+-]{1,127}"
_CURSOR = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9]{1,18}"


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Keywords of JSON Schema that tell what is checked elsewhere; they check nothing themselves."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core_schema), **self.keywords}


def _text(pattern: str, **more: Any) -> Shape:
    return Shape({"pattern": pattern, **more})


FILE_NAME = _text(
    rf"^(?!\.{{1,2}}$)(?!\s+$)[^{_NOT_IN_NAMES}]{{1,{NAME_CHARACTERS_MAX}}}$",
    minLength=1,
    maxLength=NAME_CHARACTERS_MAX,
)
FOLDER = _text(
    rf"^(?!.*[^/]{{{NAME_CHARACTERS_MAX + 1}}})(?:{_SEGMENT}(?:/{_SEGMENT}){{0,{FOLDER_SEGMENTS_MAX - 1}}})?$",
    maxLength=FOLDER_CHARACTERS_MAX,
)
LABEL = _text(rf"^{_LABEL}$", maxLength=LABEL_CHARACTERS_MAX)
LABELS = Shape(
    {
        "maxProperties": LABELS_MAX,
        "propertyNames": LABEL.keywords,
        "additionalProperties": {
            "type": "string",
            "maxLength": VALUE_CHARACTERS_MAX,
            "pattern": rf"^[^{_CONTROLS}]*$",
        },
    }
)
LABEL_FILTER = _text(rf"^{_LABEL}(?:=[^\x00]*)?$")
MEDIA_TYPE_FILTER = _text(rf"^{_MEDIA_TYPE_PART}/(?:\*|{_MEDIA_TYPE_PART})$")
SEARCH = _text(r"^[^\x00]*$", maxLength=NAME_CHARACTERS_MAX)
MOMENT = Shape({"format": "date-time"})
PLACE = Shape({"anyOf": [{"format": "date-time"}, {"pattern": f"^{_CURSOR}$"}]})
CURSOR = _text(f"^(?:[0-9]{{1,100}}|{_CURSOR})$")
CURSOR_OR_NOW = _text(f"^(?:now|[0-9]{{1,100}}|{_CURSOR})$")
LOGIN = _text(
    rf"^\s*[^\s{_CONTROLS}][^{_CONTROLS}]{{{LOGIN_CHARACTERS[0] - 2},{LOGIN_CHARACTERS[1] - 2}}}[^\s{_CONTROLS}]\s*$"
)
PERSON = _text(rf"^[^{_CONTROLS}]*$", minLength=NAME_CHARACTERS[0], maxLength=NAME_CHARACTERS[1])
PASSWORD = Shape({"format": "password", "minLength": PASSWORD_CHARACTERS[0], "maxLength": PASSWORD_CHARACTERS[1]})
LINE = _text(rf"^[^{_CONTROLS}]*$")
EACH_ONCE = Shape({"uniqueItems": True})


def one_of(*names: str) -> list[Any]:
    """Alternatives for a schema: one of these fields with a value, and the others without."""
    return [
        {
            "required": [name],
            "properties": {name: {"not": {"type": "null"}}, **{o: {"type": "null"} for o in names if o != name}},
        }
        for name in names
    ]
