"""JSON between services and to clients: the same values as Python's own, whatever they are."""

from __future__ import annotations

import json
from typing import Any

import kombu.serialization
import pytest
from hypothesis import given
from hypothesis import strategies as st

import docsave_services.nameko_ext  # noqa: F401 - decides how messages are spelled
from docsave_services import quick_json

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_goes_in_comes_out(value: Any) -> None:
    """Also numbers of more than 64 bits, and texts that are no Unicode."""
    text = quick_json.dumps(value)
    assert quick_json.loads(text) == value == json.loads(text)
    assert quick_json.loads(json.dumps(value)) == value


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": 1,}', b"nonsense"])
def test_what_is_no_json_is_told_as_python_tells_it(text: bytes) -> None:
    """As from Python's own."""
    with pytest.raises(json.JSONDecodeError):
        quick_json.loads(text)


def test_a_message_never_chooses_a_python_type() -> None:
    """Kombu's JSON would fail on this one, or make a time, a UUID or a number of it."""
    body = {"labels": {"__type__": "datetime", "__value__": "not a time"}}
    content_type, encoding, payload = kombu.serialization.dumps(body, serializer="json")
    assert (content_type, encoding) == ("application/json", "utf-8")
    assert kombu.serialization.loads(payload, content_type, encoding) == body


def test_a_message_of_another_nameko_program_is_understood() -> None:
    """It was written by kombu's JSON."""
    body = {"args": [], "kwargs": {"name": "Übersicht.pdf", "file_id": 7}}
    assert kombu.serialization.loads(kombu.utils.json.dumps(body).encode(), "application/json", "utf-8") == body
