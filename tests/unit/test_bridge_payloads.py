"""What the bridge accepts from clients."""

from __future__ import annotations

import json

import pytest

from docsave_services.contracts import FileEvent
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import CursorExpired, InvalidInput
from notifier_bridge import payloads
from notifier_bridge.payloads import Identification, parse_identification, parse_relayed_event
from notifier_bridge.replay import Notice, Subscription, starting_place

EPOCH = "6f6a5a2e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    "payload",
    [
        "tok",
        " tok\n",
        {"token": "tok"},
        {"token": "tok", "user_id": 7},
        '{"token": "tok"}',
        '"tok"',
        ' {"token":"tok"}',
    ],
    ids=repr,
)
def test_forms_of_identification(payload):
    """Bare, as an object, as JSON text: always the same token."""
    assert parse_identification(payload) == Identification("tok")


@pytest.mark.parametrize(
    ("since", "place"),
    [(None, None), ("", None), (0, 0), (7, 7), ("7", 7), (f"{EPOCH}:7", f"{EPOCH}:7"), ("yesterday", "yesterday")],
)
def test_forms_of_since(since, place):
    """A cursor stays text, an event id is a number, nothing is nothing."""
    assert parse_identification({"token": "t", "since": since}).since == place


@pytest.mark.parametrize(
    "payload",
    [
        None, 5, True, 1.5, [], ["t"], {}, "", " ", "{", '{"a":1}', '"' + "[" * 10, '{"token":' * 20_000, b"t",
        {"token": None}, {"token": ""}, {"token": 5}, {"token": ["t"]}, {"token": "t", "since": []},
        {"token": "t", "since": True}, {"token": "t", "since": -1}, {"token": "t", "since": 1.5},
        {"token": "t", "since": "x" * 101}, {"token": "t", "since": 2**63},
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_malformed_identification(payload):
    """Everything else is ``invalid_input``, whatever its depth or size."""
    with pytest.raises(InvalidInput):
        parse_identification(payload)


def test_the_token_is_not_in_the_text_of_an_identification():
    """A log line with the object does not carry the secret."""
    assert "tok" not in repr(Identification("tok")).replace("token", "")


def test_relayed_events_have_the_fields_of_the_contract():
    """The check knows exactly the fields that an event on the bus has."""
    assert set(payloads._EVENT_FIELDS) == set(FileEvent.__annotations__)


def test_a_complete_event_is_relayed_as_it_is():
    """Every field of the contract passes, from an object and from its JSON text."""
    event = {
        "event_id": 1, "type": "File_create", "id": 7, "user_id": 1, "name": "é", "path": "p", "size": 0,
        "media_type": "text/plain", "sha256": "0" * 64, "version": 1, "at": "2026-11-24T10:15:00Z", "by": None,
        "folder": "clients/acme", "labels": {"crm.deal": "42"}, "permanent": False,
        "cursor": f"{EPOCH}:1",
    }  # fmt: skip
    assert parse_relayed_event(event, "File_create") == event
    assert parse_relayed_event(json.dumps(event), "File_create") == event
    assert parse_relayed_event({"id": 7, "user_id": 1}, "File_delete")["type"] == "File_delete"


WRONG = [True, -1, 1.5, [], {}, {"crm.deal": 42}, "x" * 256, "a/../b\n" * 100, 2**63]
RIGHT_AFTER_ALL = {"permanent": [True], "labels": [{}]}


@pytest.mark.parametrize("field", sorted(payloads._EVENT_FIELDS))
@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:10])
def test_wrong_types_are_named(field, value):
    """A wrong type or size of any field is refused, and the error names the field."""
    if value in RIGHT_AFTER_ALL.get(field, []):
        assert parse_relayed_event({"id": 1, "user_id": 1, field: value}, "File_create")[field] == value
        return
    with pytest.raises(InvalidInput) as caught:
        parse_relayed_event({"id": 1, "user_id": 1, field: value}, "File_create")
    assert caught.value.errors[0]["field"] == field


def test_starting_places():
    """A number is a place in this journal; a cursor of another journal or nonsense is ``cursor_expired``."""
    now = Cursor(EPOCH, 9)
    assert starting_place(4, now) == Cursor(EPOCH, 4)
    assert starting_place(f"{EPOCH}:4", now) == Cursor(EPOCH, 4)
    for wrong in (f"{EPOCH[:-1]}2:4", "yesterday"):
        with pytest.raises(CursorExpired):
            starting_place(wrong, now)


def _event(number: int) -> dict:
    return {"event_id": number, "user_id": 1, "cursor": f"{EPOCH}:{number}"}


def test_missed_events_end_where_listening_began():
    """What the page holds beyond that place comes live, so it is left out; a full last page is not followed by more."""
    subscription = Subscription(1, Cursor(EPOCH, 2), Cursor(EPOCH, 4))
    asked = []

    def fetch(since, limit, user_id):
        asked.append((since, user_id))
        return {"items": [_event(n) for n in (3, 4, 5)], "cursor": f"{EPOCH}:5"}

    assert [event["event_id"] for event in subscription.missed_events(fetch)] == [3, 4]
    assert asked == [(f"{EPOCH}:2", 1)]


def test_nothing_missed_asks_nothing():
    """Whoever starts at the present place costs no look into the journal."""
    place = Cursor(EPOCH, 4)
    assert Subscription(1, place, place).missed_events(lambda *_: pytest.fail("asked")) == []


def test_a_subscription_keeps_its_users_events_after_its_start():
    """Others' events and those up to ``start`` are not kept; relayed ones, without a place, are."""
    subscription = Subscription(1, Cursor(EPOCH, 5), Cursor(EPOCH, 4))
    subscription.offer(Notice("a", {}, 1, 5))
    subscription.offer(Notice("b", {}, 2, 6))
    subscription.offer(Notice("c", {}, 1, 6))
    subscription.offer(Notice("d", {}, 1, None))
    subscription.prepend([("x", {}), ("y", {})])
    assert [name for name, _ in subscription.backlog] == ["x", "y", "c", "d"]
