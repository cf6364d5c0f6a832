"""The OpenAPI document: valid, complete, and made of what the gateway really declares."""

import json
import re

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from docsave_services.domain import accounts, folders, labels, names
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.filters import label_filter_problem, media_type_filter_problem, search_problem
from docsave_services.errors import DocsaveError
from gateway import Gateway
from gateway_http.openapi import document
from gateway_http.openapi.document import SUBJECTS, as_path, routes_of
from gateway_http.openapi.problems import all_codes
from gateway_http.schemas import _shapes as shapes

DOCUMENT = document(Gateway)
SCHEMAS = DOCUMENT["components"]["schemas"]
ONLY_OUTSIDE_HTTP = {"too_many_sockets"}
"""Codes that Socket.IO alone answers with."""


def _operations():
    return [(path, method, each) for path, item in DOCUMENT["paths"].items() for method, each in item.items()]


def _check(schema: dict, value: object) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)


def test_it_is_valid_by_the_specification():
    """OpenAPI 3.1's own schema accepts it, and every reference in it leads somewhere."""
    assert DOCUMENT["openapi"].startswith("3.1")
    validate(DOCUMENT)


def test_every_route_has_an_operation():
    """Method and path of each route of gateway.py, and no table tells of a route that is none."""
    routes = list(routes_of(Gateway))
    assert len(routes) > 50
    documented = {(method.upper(), path) for path, method, _ in _operations()}
    assert {(route.declared.method, as_path(route.declared.url)) for route in routes} <= documented
    assert {name for subject in SUBJECTS for name in subject.routes} == {route.name for route in routes}


def test_a_route_that_no_table_tells_of_stops_the_start():
    """Whoever adds a route is told at once that its description is missing."""

    class WithOneMore(Gateway):
        untold = Gateway.get_me

    WithOneMore.untold = vars(Gateway)["get_me"]
    with pytest.raises(KeyError):
        document(WithOneMore)


def test_every_operation_says_how_it_succeeds_and_fails():
    """Each has a summary, a success, and with a token 401 and 403; ids are unique."""
    for path, method, operation in _operations():
        statuses = set(operation["responses"])
        assert operation["summary"], path
        assert any(status.startswith("2") for status in statuses), (method, path)
        assert {"400", "500", "503"} <= statuses, (method, path)
        if operation["security"]:
            assert {"401", "403"} <= statuses, (method, path)
    names_ = [operation["operationId"] for _, _, operation in _operations()]
    assert sorted(set(names_)) == sorted(names_)


def test_every_problem_code_is_an_answer_of_some_operation():
    """Each error class that HTTP knows has its place, with its meaning and an example."""
    text = json.dumps(DOCUMENT["components"]["responses"])
    codes = all_codes(DocsaveError)
    assert len(codes) > 45
    told = set(re.findall(r"- `(\w+)`: ", text))
    assert codes - ONLY_OUTSIDE_HTTP - {"method_not_allowed"} - told == set()
    assert set(SCHEMAS["Problem"]["properties"]["code"]["enum"]) == codes


def test_examples_are_what_the_schemas_ask_for():
    """Every example of a schema, of an answer and of a parameter is valid."""
    checked = 0
    for schema in SCHEMAS.values():
        for value in schema.get("examples", ()):
            _check(schema, value)
            checked += 1
    for answer in DOCUMENT["components"]["responses"].values():
        for content in answer["content"].values():
            for value in content["examples"].values():
                _check(content["schema"], value["value"])
                checked += 1
    for _, _, operation in _operations():
        for parameter in operation["parameters"]:
            if "example" in parameter:
                _check(parameter["schema"], parameter["example"])
                checked += 1
    assert checked > 100


def test_bodies_of_requests_and_answers_have_examples():
    """A reader of the page sees what to send and what comes back."""
    for path, method, operation in _operations():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            reference = body.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref")
            if reference is not None:
                assert "examples" in SCHEMAS[reference.rpartition("/")[2]], (method, path, reference)


def test_nothing_of_the_inside_is_told():
    """No name of Python, no markup of docstrings, no name of a module."""
    text = json.dumps(DOCUMENT)
    for word in ("``", "docsave_services", "gateway_http", "ValueError"):
        assert word not in text, word
    assert not re.search(r"(?<!-)\bNone\b", text)


_WEIRD = ["", ".", "..", " ", "a\n", "a/b", "a//b", "/a", "a/..", "x" * 256, "x" * 255, "\u202e", "a\\b", "é", "\x00",
          "a/ /b", "\x85", "a=b", "a.", "crm.deal=42", "a" * 65 + "=1", "=", "image/*", "a/b/c"]  # fmt: skip

_TEXTS = st.one_of(
    st.sampled_from(_WEIRD),
    st.text(max_size=12),
    st.text(alphabet="a./\\ =*-:_\n\u202e\x7f", max_size=12),
    st.lists(st.sampled_from(["a", "..", ".", " ", "b c", "\x01"]), max_size=40).map("/".join),
)


def _fits(shape: shapes.Shape, text: str) -> bool:
    return jsonschema.Draft202012Validator({"type": "string", **shape.keywords}).is_valid(text)


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (shapes.FILE_NAME, names.name_problem),
        (shapes.FOLDER, folders.folder_problem),
        (shapes.LABEL, labels.label_problem),
        (shapes.LABEL_FILTER, label_filter_problem),
        (shapes.MEDIA_TYPE_FILTER, media_type_filter_problem),
        (shapes.SEARCH, search_problem),
        (shapes.PERSON, accounts.name_problem),
        (shapes.LOGIN, lambda text: accounts.login_problem(text.strip())),
    ],
    ids=["name", "folder", "label", "label filter", "media type", "search", "person", "login"],
)
@settings(deadline=None)
@given(text=_TEXTS)
@example(text="/".join(["a"] * 33))
@example(text="a" * 64)
@example(text="/".join(["x" * 255, "y" * 255]))
@example(text="/".join(["x" * 255, "y" * 257]))
def test_patterns_say_what_the_rules_say(shape, problem, text):
    """A text fits the pattern in the document exactly when the rule has nothing to say about it."""
    if text.endswith("\n"):  # Python's $ also stands before a last line feed, JSON Schema's does not
        return
    assert _fits(shape, text) == (problem(text) is None), ascii(text)


def test_a_cursor_fits_its_pattern():
    """What docsave gives as a cursor may be given back."""
    cursor = str(Cursor("c2b10291-326c-42db-b246-e5ae34e5e15a", 7))
    assert _fits(shapes.CURSOR, cursor)
    assert _fits(shapes.CURSOR_OR_NOW, "now")
    assert _fits(shapes.PLACE, cursor)
    assert not _fits(shapes.CURSOR, "now")
