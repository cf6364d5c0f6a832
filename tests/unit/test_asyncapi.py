"""The AsyncAPI document: valid by the specification's own schema, and not out of date."""

from __future__ import annotations

import json

import jsonschema

from notifier_bridge import asyncapi
from tests.support.programs import ROOT


def test_it_is_valid_by_the_specification():
    """AsyncAPI 3.0's JSON Schema, as its authors publish it, accepts it."""
    published = json.loads((ROOT / "node_modules/@asyncapi/specs/schemas/3.0.0.json").read_text())
    jsonschema.Draft7Validator(published).validate(asyncapi.document())


def test_every_reference_leads_somewhere():
    """``$ref`` and what it names agree."""
    document = asyncapi.document()

    def references(value):
        if isinstance(value, dict):
            yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            for each in value.values():
                yield from references(each)
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    found = set(references(document))
    assert len(found) > 20
    for reference in found:
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_the_file_in_docs_is_what_is_generated():
    """`make asyncapi` brings it up to date."""
    assert json.loads((ROOT / "docs/asyncapi.json").read_text()) == asyncapi.document()
