"""If-Match as clients, caches and careless programs write it."""

from types import SimpleNamespace
from typing import Any

import pytest

from docsave_services.errors import BadRequest, PreconditionFailed, PreconditionRequired
from gateway_http.preconditions import NEVER, check_if_match, if_match_of, tags_in

SHA = "ab" * 32
FILE: Any = {"sha256": SHA, "version": 3}


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("*", ["*"]),
        (" * ", ["*"]),
        (f'"{SHA}"', [SHA]),
        ('"v3"', ["v3"]),
        (f'"v3", "{SHA}"', ["v3", SHA]),
        (f',"v3" ,, "{SHA}",', ["v3", SHA]),
        ('W/"v3"', [NEVER]),
        ('"*"', [NEVER]),
        ('"somebody else\'s, with a comma"'.replace(" ", "_"), [NEVER]),
        ('""', [NEVER]),
        ('"v03"', [NEVER]),
        ('"\xe9"', [NEVER]),
        (f'"{SHA.upper()}"', [NEVER]),
    ],
)
def test_tags_are_read(header: str, tags: list[str]) -> None:
    """Quotes go, and a tag that no file can have leaves one that never fits: the condition stays."""
    assert tags_in(header) == tags


@pytest.mark.parametrize(
    "header",
    ["", " ", ",", "v3", "*, *", '"v3', '"v3" "v4"', 'w/"v3"', '"v3";q=1', '* , "v3"', '"v3",' * 101, '"a b"'],
)
def test_a_header_that_cannot_be_read(header: str) -> None:
    """It is 400, never no condition at all."""
    with pytest.raises(BadRequest):
        tags_in(header)


def test_a_long_header_takes_no_time() -> None:
    """64 KiB of blanks are read once, not once for each."""
    with pytest.raises(BadRequest):
        tags_in(" " * 65_000 + "x")
    with pytest.raises(BadRequest):
        tags_in('"v3"' + " " * 65_000 + "x")


@pytest.mark.parametrize("tags", [None, ["*"], [SHA], ["v3"], ["v2", "v3"]])
def test_what_fits(tags: list[str] | None) -> None:
    """The hash of the content, the version, or anything."""
    check_if_match(tags, FILE)


@pytest.mark.parametrize("tags", [["v2"], [NEVER], ["cd" * 32], [""], ["V3"]])
def test_what_does_not_fit(tags: list[str]) -> None:
    """Anything else."""
    with pytest.raises(PreconditionFailed):
        check_if_match(tags, FILE)


def test_a_condition_may_be_demanded() -> None:
    """DOCSAVE_REQUIRE_IF_MATCH makes a request without one an error, and says nothing about one that has it."""

    def request(required: bool, **environ: str) -> Any:
        return SimpleNamespace(environ=environ, settings=SimpleNamespace(require_if_match=required))

    assert if_match_of(request(False)) is None
    assert if_match_of(request(True, HTTP_IF_MATCH='"v1"')) == ["v1"]
    with pytest.raises(PreconditionRequired):
        if_match_of(request(True))
