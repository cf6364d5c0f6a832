"""Preconditions of a download."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from docsave_services.errors import BadRequest, PreconditionFailed
from gateway_http.conditional import Validators

HASH = "ab" * 32
TAG = f'"{HASH}"'
VALIDATORS = Validators(HASH, 3, datetime(2026, 11, 24, 10, 15, 0, 700_000, tzinfo=UTC))
SENT = "Tue, 24 Nov 2026 10:15:00 GMT"
BEFORE = "Tue, 24 Nov 2026 10:14:59 GMT"
AFTER = "Tue, 24 Nov 2026 10:15:01 GMT"


def headers(**fields: str) -> Headers:
    return Headers({name.replace("_", "-"): value for name, value in fields.items()})


@pytest.mark.parametrize("tags", [TAG, f"W/{TAG}", "*", " * ", f'"x", {TAG}', f'{TAG}, W/"y"', f'"x,y" , W/{TAG}'])
def test_a_tag_that_the_client_has(tags: str) -> None:
    """One of a list, weakly compared, or any at all; a date beside it does not count."""
    assert VALIDATORS.not_modified(headers(If_None_Match=tags))
    assert VALIDATORS.not_modified(headers(If_None_Match=tags, If_Modified_Since=BEFORE))


@pytest.mark.parametrize("tags", ['"x"', 'W/"x"', "", '"*"', f'"{HASH[1:]}"', f'"{HASH}', '"v3"'])
def test_a_tag_of_something_else(tags: str) -> None:
    """Then it is sent, even when a date beside it fits."""
    assert not VALIDATORS.not_modified(headers(If_None_Match=tags, If_Modified_Since=AFTER))


@pytest.mark.parametrize(("since", "expected"), [(BEFORE, False), (SENT, True), (AFTER, True), ("soon", False)])
def test_a_date_alone(since: str, expected: bool) -> None:
    """The very date sent is enough, although it has no fraction; what is no date counts for nothing."""
    assert VALIDATORS.not_modified(headers(If_Modified_Since=since)) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (TAG, True), (f"W/{TAG}", False), ('"x"', False), (HASH, False), ("*", False), (f"{TAG}, {TAG}", False),
        (SENT, True), (BEFORE, False), (AFTER, False), ("soon", False), ("", False),
    ],
)  # fmt: skip
def test_a_part_is_of_use_only_with_the_same_rest(condition: str, expected: bool) -> None:
    """The strong tag or the very date; anything else means that all of it is sent."""
    assert VALIDATORS.range_applies(headers(If_Range=condition)) is expected


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"If_Match": TAG}, {"If_Match": "*"}, {"If_Match": f'"x", {TAG}'}, {"If_Match": '"v3"'},
        {"If_Unmodified_Since": SENT}, {"If_Unmodified_Since": "soon"},
        {"If_Match": TAG, "If_Unmodified_Since": BEFORE},
    ],
)  # fmt: skip
def test_the_version_that_the_client_wants(fields: dict[str, str]) -> None:
    """By tag or version number, else by date."""
    VALIDATORS.check(headers(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"If_Match": '"x"'}, {"If_Match": f"W/{TAG}"}, {"If_Match": '"v2"'},
        {"If_Unmodified_Since": BEFORE}, {"If_Match": '"x"', "If_Unmodified_Since": AFTER},
    ],
)  # fmt: skip
def test_another_version_is_refused(fields: dict[str, str]) -> None:
    """A weak tag names none."""
    with pytest.raises(PreconditionFailed):
        VALIDATORS.check(headers(**fields))


HEADER_TEXT = st.text(alphabet=st.characters(max_codepoint=255, exclude_characters="\r\n"))
DATES = st.from_regex(
    r"[A-Z][a-z]{2}, [0-9]{1,2} (Jan|Feb) [0-9]{1,6} [0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|[+-][0-9]{4})", fullmatch=True
)


@given(text=HEADER_TEXT | DATES | st.text(alphabet='W/",* ab', max_size=20))
def test_no_header_breaks_the_parser(text: str) -> None:
    """What a client sends is never an internal error."""
    for name in ("If-None-Match", "If-Modified-Since"):
        VALIDATORS.not_modified(Headers({name: text}))
    VALIDATORS.range_applies(Headers({"If-Range": text}))
    for name in ("If-Match", "If-Unmodified-Since"):
        try:
            VALIDATORS.check(Headers({name: text}))
        except (PreconditionFailed, BadRequest):
            continue
