"""Strict JSON, query strings, request ids: the parts of the gateway that look at text."""

from typing import Any

import pytest

from docsave_services.errors import BadJson, BadRequest, InvalidInput
from docsave_services.files.filters import FileFilters
from gateway_http.request_id import request_id_from
from gateway_http.schemas import FileListQuery, NewUser, UserPatch, list_fields, query_fields, validated
from gateway_http.strict_json import parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\\ud83d\\ude00"]}', {"a": [1, 2.5, None, True, "😀"]}),
        (b' {"a":"\\u0000"} ', {"a": "\x00"}),
        (b"[" * 50 + b"]" * 50, None),
        (b'"text"', "text"),
    ],
)
def test_json_is_read(text: bytes, value: object) -> None:
    """What the standard allows is read."""
    assert parse_json(text) == value or value is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1}{}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b'{"a":NaN}',
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b'{"a":1,"a":1}',
        b'[{"b":{"a":1,"a":2}}]',
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
        b"1" * 10_000,
    ],
)
def test_ambiguous_json_is_refused(text: bytes) -> None:
    """What two readers could understand differently, or what breaks one, is bad_json."""
    with pytest.raises(BadJson):
        parse_json(text)


def test_wrong_fields_are_named_once_and_without_their_value() -> None:
    """Each wrong field has one entry; a value, which may be a password, is in none."""
    with pytest.raises(InvalidInput) as caught:
        validated(NewUser, {"login": 5, "password": ["geheim"], "role": "admin"})
    assert [e["field"] for e in caught.value.errors] == ["login", "password", "role"]
    assert "geheim" not in str(caught.value.args)


@pytest.mark.parametrize("value", [None, [], "a", 1])
def test_only_objects_are_validated(value: object) -> None:
    """A body of another kind is invalid input, not a crash."""
    with pytest.raises(InvalidInput):
        validated(NewUser, value)


def test_a_patch_keeps_to_what_was_sent() -> None:
    """Fields that were not sent are not changed, and null is no value."""
    assert validated(UserPatch, {"name": "a"}).model_dump(exclude_unset=True) == {"name": "a"}
    with pytest.raises(InvalidInput):
        validated(UserPatch, {"login": None})


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "+1", " 1", "1_0", "1.0", "1e2", "٣", "", "01", "99999999999"])
def test_numbers_in_queries_are_plain(limit: str) -> None:
    """Only plain decimal digits within the bounds are a limit."""
    with pytest.raises(InvalidInput):
        validated(FileListQuery, {"limit": limit})


def test_queries_are_utf8() -> None:
    """Percent-encoded and raw UTF-8 are the same; anything else is refused, a repeated field too."""
    assert query_fields("q=%C3%A9&name=a+b") == {"q": "é", "name": "a b"}
    assert query_fields("q=é".encode().decode("latin-1")) == {"q": "é"}
    for broken in ("q=%FF", "q=\xff", "&".join(f"f{n}=" for n in range(101))):
        with pytest.raises(BadRequest):
            query_fields(broken)
    with pytest.raises(InvalidInput):
        query_fields("a=1&a=1")


def test_only_fields_declared_as_lists_may_come_twice() -> None:
    """One label or several are a list; another field that comes twice is refused, whatever its place."""
    assert list_fields(FileListQuery) == {"label"}
    assert query_fields("label=a", {"label"}) == {"label": ["a"]}
    assert query_fields("label=a&q=x&label=b=1", {"label"}) == {"label": ["a", "b=1"], "q": "x"}
    with pytest.raises(InvalidInput):
        query_fields("q=1&label=a&q=1", {"label"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("q", "a" * 256),
        ("q", "a\0b"),
        ("folder", "/a"),
        ("folder", "a//b"),
        ("recursive", "yes"),
        ("label", ["a"] * 6),
        ("label", ["=42"]),
        ("label", [" deal"]),
        ("media_type", "text"),
        ("media_type", "*/*"),
        ("media_type", "text/plain; charset=utf-8"),
        ("size_min", "-1"),
        ("size_max", "9223372036854775808"),
        ("size_max", "1e3"),
        ("created_after", "yesterday"),
        ("created_before", "2026-11-24"),
        ("updated_after", "2026-02-30T00:00:00Z"),
        ("updated_before", "2026-11-24T10:15:00"),
    ],
)
def test_a_wrong_filter_is_refused_by_its_name(field: str, value: Any) -> None:
    """By the gateway, and by the service for callers on the bus."""
    with pytest.raises(InvalidInput) as caught:
        validated(FileListQuery, {field: value})
    assert [e["field"] for e in caught.value.errors] == [field]
    with pytest.raises(InvalidInput) as caught:
        FileFilters.checked({field: value})
    assert [e["field"] for e in caught.value.errors] == [field]


def test_good_filters_pass() -> None:
    """The largest and oddest that are allowed."""
    given = {"q": "100%_é", "folder": "", "label": ["crm.deal=", "crm.deal"], "media_type": "image/*"}
    given |= {"size_min": "0", "size_max": str(2**63 - 1), "created_after": "2026-11-24T10:15:00.123+02:00"}
    query = validated(FileListQuery, given).model_dump(exclude={"user_id", "limit", "after", "sort", "deleted"})
    assert FileFilters.checked(query).created_after == "2026-11-24T08:15:00.123Z"


@pytest.mark.parametrize("text", ["a", "A.b_c-9", "x" * 128])
def test_sane_request_ids_are_kept(text: str) -> None:
    """The caller's id is kept."""
    assert request_id_from(text) == text


@pytest.mark.parametrize("text", [None, "", "x" * 129, "a b", "a\n", "é", "a,b", "a/b"])
def test_other_request_ids_are_replaced(text: str | None) -> None:
    """Anything else gives a new one each time."""
    assert len({request_id_from(text), request_id_from(text)} - {text}) == 2


def test_a_whole_number_may_be_written_with_a_fraction_of_nothing() -> None:
    """JSON Schema's integer is a number without a fraction: 7.0 is 7, and 7.5 stays what it is."""
    assert [repr(number) for number in parse_json(b"[7.0, 2e3, -0.0, 7.5, 1e300]")] == [
        "7",
        "2000",
        "0",
        "7.5",
        "1e+300",
    ]
