"""Other systems' names in the path of a request."""

import pytest

from docsave_services.errors import BadRequest, InvalidInput
from gateway_http.references import checked_label, checked_reference, routable_path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/files/1", "/files/1"),
        ("/a%20b/%C3%A9", "/a b/é"),
        ("/\xc3\xa9", "/é"),
        ("/a%2Fb/c", "/a\\b/c"),
        ("/a%2fb", "/a\\b"),
        ("/%252F", "/%2F"),
        ("/a//b/", "/a//b/"),
        ("/%", "/%"),
        ("", ""),
    ],
)
def test_a_slash_in_a_segment_ends_nothing(raw: str, path: str) -> None:
    """It becomes a character that is refused in its place; all else is decoded once."""
    assert routable_path(raw) == path


@pytest.mark.parametrize("raw", ["/%ff", "/\xff", "/%ed%a0%80"])
def test_a_path_is_text(raw: str) -> None:
    """What is not UTF-8 is 400."""
    with pytest.raises(BadRequest):
        routable_path(raw)


def test_every_wrong_part_is_named() -> None:
    """All at once."""
    with pytest.raises(InvalidInput) as caught:
        checked_reference("a b", "..", "c/d")
    assert [error["field"] for error in caught.value.errors] == ["system", "key", "name"]
    with pytest.raises(InvalidInput):
        checked_label("crm", "a\\b")
    assert checked_reference("crm", "a=b", "c") == {"system": "crm", "key": "a=b", "name": "c"}
    assert checked_label("crm", "a=b") == "crm=a=b"
