"""A change from the bus is believed in nothing."""

from typing import Any

import pytest

from docsave_services.errors import InvalidInput
from docsave_services.files.validation import checked_change

CREATE = {"op": "create", "by": 1, "user_id": 1, "name": "a.txt", "path": "x"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "op"),
        ({"op": "drop"}, "op"),
        ({"op": ["create"]}, "op"),
        ({**CREATE, "name": None}, "name"),
        ({**CREATE, "name": "a/b"}, "name"),
        ({**CREATE, "name": 7}, "name"),
        ({**CREATE, "user_id": True}, "user_id"),
        ({**CREATE, "user_id": 2**31}, "user_id"),
        ({**CREATE, "user_id": "1"}, "user_id"),
        ({**CREATE, "version": 3}, "version"),
        ({**CREATE, "media_type": "text"}, "media_type"),
        ({**CREATE, "media_type": "text/plain\r\nX: y"}, "media_type"),
        ({**CREATE, "change_key": "not-hex"}, "change_key"),
        ({"op": "update", "by": 1}, "file_id"),
        ({"op": "delete", "by": 1, "file_id": 0}, "file_id"),
        ({"op": "delete", "by": -1, "file_id": 1}, "by"),
    ],
)
def test_a_wrong_change_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    """The error names what is wrong."""
    with pytest.raises(InvalidInput) as caught:
        checked_change(change)
    assert field in [error["field"] for error in caught.value.errors]


def test_a_good_change_passes() -> None:
    """Optional fields may be absent or null."""
    assert checked_change({**CREATE, "media_type": None})["name"] == "a.txt"
    assert checked_change({"op": "delete", "file_id": 3})["by"] is None
