"""Errors keep their code, status and fields on the way over the bus."""

import pytest
from nameko.exceptions import deserialize, serialize

from docsave_services import errors
from docsave_services.errors import DocsaveError, InternalError, InvalidInput, error_from_code


def all_errors() -> list[type[DocsaveError]]:
    found, waiting = [], [DocsaveError]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        found += subclasses
        waiting += subclasses
    return [error for error in found if error.__module__.startswith(errors.__name__)]


@pytest.mark.parametrize("kind", all_errors())
def test_an_error_survives_nameko_serialisation(kind: type[DocsaveError]) -> None:
    """What the service raised is what the caller catches, with its sentence and its fields."""
    rebuilt = deserialize(serialize(kind("a reason", [{"field": "name", "message": "is bad"}])))
    assert type(rebuilt) is kind
    assert str(rebuilt) == "a reason"
    assert rebuilt.errors == [{"field": "name", "message": "is bad"}]


@pytest.mark.parametrize("kind", all_errors())
def test_an_error_without_a_text_says_its_docstring(kind: type[DocsaveError]) -> None:
    """An operator always gets a sentence."""
    assert str(kind()).endswith(".") or ";" in str(kind())
    assert 400 <= kind.status < 600


def test_codes_name_one_class_each() -> None:
    """A code in a batch's outcome leads back to its class."""
    by_code = {kind.code: kind for kind in all_errors()}
    for code, kind in by_code.items():
        assert error_from_code(code, "x").status == kind.status


def test_an_unknown_code_is_an_internal_error() -> None:
    """A peer with a newer version cannot confuse us."""
    assert isinstance(error_from_code("from_the_future", ""), InternalError)


def test_a_field_error_names_the_field() -> None:
    """`for_field` fills both the sentence and the list."""
    error = InvalidInput.for_field("limit", "must be less")
    assert error.detail == "limit: must be less"
    assert error.errors == [{"field": "limit", "message": "must be less"}]
