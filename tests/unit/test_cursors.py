"""Cursors: of the journal and of lists."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from docsave_services.domain.cursor import Cursor
from docsave_services.errors import InvalidInput
from docsave_services.files import list_cursor

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


@pytest.mark.parametrize(
    ("sort", "value", "kind"),
    [
        (None, 7, int),
        ("-size", 0, int),
        ("name", 'é"\\', str),
        ("created_at", datetime(2026, 11, 24, 10, 15, 0, 123000, tzinfo=UTC), datetime),
    ],
)
def test_a_list_cursor_reads_back_what_it_wrote(sort: str | None, value: Any, kind: type) -> None:
    """The next page begins exactly after the last file."""
    assert list_cursor.decode(list_cursor.encode(sort, value, 9), sort, kind) == (value, 9)


def forged(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!!!",
        "é",
        "A" * 5000,
        forged(["size", 1, 1]),
        forged([None, "1", 1]),
        forged([None, True, 1]),
        forged([None, -1, 1]),
        forged([None, 1, 2**63]),
        forged([None, 1]),
        forged({"a": 1}),
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
    ],
)
def test_a_forged_list_cursor_is_invalid_input(text: str) -> None:
    """A cursor is untrusted input like any other."""
    with pytest.raises(InvalidInput):
        list_cursor.decode(text, None, int)


def test_a_lone_surrogate_in_a_list_cursor_is_invalid_input() -> None:
    """It cannot reach the database, which would fail on it."""
    with pytest.raises(InvalidInput):
        list_cursor.decode(forged(["name", "\ud800", 1]), "name", str)
