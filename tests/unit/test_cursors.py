"""Cursors: of the journal and of lists."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from docsave_services.domain.cursor import Cursor
from docsave_services.errors import InvalidInput
from docsave_services.files import list_cursor

LIST = "0123456789abcdef"
EPOCH = "0b0f1e2d-0000-4000-8000-00000000000a"


def test_a_cursor_reads_back_what_it_wrote() -> None:
    """Text and value are one to one."""
    assert Cursor.parse(str(Cursor(EPOCH, 42))) == Cursor(EPOCH, 42)


@pytest.mark.parametrize(
    "text",
    ["", "42", f"{EPOCH}:", f"{EPOCH}:-1", f"{EPOCH}:1 ", f"{EPOCH.upper()}:1", f"{EPOCH}:٣", f"{EPOCH}:" + "9" * 30],
)
def test_anything_else_is_no_cursor(text: str) -> None:
    """No half-read cursor: a reader with a wrong place would skip changes."""
    with pytest.raises(ValueError, match="cursor"):
        Cursor.parse(text)


@given(st.text(max_size=40), st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1))
def test_a_list_cursor_reads_back_what_it_wrote(name: str, size: int, file_id: int) -> None:
    """The next page begins exactly after the last file."""
    assume(not any(0xD800 <= ord(c) < 0xE000 for c in name))
    assert list_cursor.decode(list_cursor.encode(LIST, name, file_id), LIST, str) == (name, file_id)
    assert list_cursor.decode(list_cursor.encode(LIST, size, file_id), LIST, int) == (size, file_id)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_list_cursor_keeps_every_digit_of_a_time(moment: datetime) -> None:
    """Microseconds too, or the file at the edge would come twice."""
    assert list_cursor.decode(list_cursor.encode(LIST, moment, 1), LIST, datetime) == (moment, 1)


def forged(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!!!",
        "é",
        "A" * 5000,
        forged(["another list", 1, 1]),
        forged([LIST, "1", 1]),
        forged([LIST, True, 1]),
        forged([LIST, -1, 1]),
        forged([LIST, 1, 2**63]),
        forged([LIST, 1]),
        forged({"a": 1}),
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
    ],
)
def test_a_forged_list_cursor_is_invalid_input(text: str) -> None:
    """A cursor is untrusted input like any other."""
    with pytest.raises(InvalidInput):
        list_cursor.decode(text, LIST, int)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(
    st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
    st.tuples(st.just(LIST), anything, anything).map(forged),
    st.sampled_from([int, str, datetime]),
)
def test_any_text_is_a_cursor_or_invalid_input(text: str, near_miss: str, kind: type) -> None:
    """Never another error, and never a value of another kind."""
    for cursor in (text, near_miss):
        try:
            value, file_id = list_cursor.decode(cursor, LIST, kind)
        except InvalidInput:
            continue
        assert type(value) is kind
        assert 0 <= file_id < 2**63


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_outside_of_all_calendars_is_invalid_input(moment: str) -> None:
    """There is no such time in UTC."""
    with pytest.raises(InvalidInput):
        list_cursor.decode(forged([LIST, moment, 1]), LIST, datetime)


def test_a_lone_surrogate_in_a_list_cursor_is_invalid_input() -> None:
    """It cannot reach the database, which would fail on it."""
    with pytest.raises(InvalidInput):
        list_cursor.decode(forged([LIST, "\ud800", 1]), LIST, str)
