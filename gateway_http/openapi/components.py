"""The JSON Schemas of everything that requests and answers contain, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from gateway_http.openapi.examples import EXAMPLES
from gateway_http.schemas import OPERATIONS

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"
_IS_TIME = re.compile(r"at|until|.*_(?:at|since|until)")
_NO_TIMES = ("PastPage", "RestoreReport")
"""Their ``at`` is a cursor."""


class Schemas:
    """What bodies are made of: ``components`` for the document, ``of`` for a reference to one."""

    def __init__(self, requests: Iterable[type[BaseModel]], answers: Iterable[Any]) -> None:
        operations = [model for model, _ in OPERATIONS.values()]
        inputs = list(_entries([*requests, *operations], "validation")) + list(_entries(answers, "serialization"))
        found, made = TypeAdapter.json_schemas(
            [(repr(kind), mode, TypeAdapter(kind)) for kind, mode in inputs], ref_template=_REFERENCE
        )
        self._references = {key: reference for (key, _), reference in found.items()}
        self.components = {name: _component(name, schema) for name, schema in made["$defs"].items()}
        self._tell_operations()

    def of(self, kind: Any) -> Schema:
        """The schema of ``kind``, mostly a reference."""
        return dict(tidy(self._references[repr(kind)]))

    def _tell_operations(self) -> None:
        """Each element of a batch is looked at by itself, so that any object may be sent."""
        known = [self.of(model) for model, _ in OPERATIONS.values()]
        other = {"type": "object", "description": "Anything else is refused alone, with a result of its own."}
        self.components["Operations"]["properties"]["operations"]["items"] = {"anyOf": [*known, other]}


Mode = Literal["validation", "serialization"]


def _entries(kinds: Iterable[Any], mode: Mode) -> Iterator[tuple[Any, Mode]]:
    return ((kind, mode) for kind in {repr(kind): kind for kind in kinds}.values())


def _component(name: str, schema: Schema) -> Schema:
    component = dict(tidy(schema))
    if name not in _NO_TIMES:
        for field, value in component.get("properties", {}).items():
            if _IS_TIME.fullmatch(field):
                _tell_time(value)
    return {**component, "examples": [EXAMPLES[name]]} if name in EXAMPLES else component


def _tell_time(schema: Schema) -> None:
    for each in (schema, *schema.get("anyOf", ())):
        if each.get("type") == "string" and "pattern" not in each:
            each["format"] = "date-time"


def tidy(schema: Any) -> Any:
    """Without the titles that repeat names, and with texts as Markdown."""
    if isinstance(schema, list):
        return [tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: tidy(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    if isinstance(kept.get("description"), str):
        kept["description"] = markdown(kept["description"])
    return kept


def markdown(text: str) -> str:
    """A docstring's text as Markdown, in one line a paragraph."""
    paragraphs = re.sub(r"(?<!-)\bNone\b", "null", text.replace("``", "`")).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
