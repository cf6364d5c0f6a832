"""Messages that come twice, out of order, not at all, or as nonsense."""

from __future__ import annotations

import json

import kombu

from docsave_services.contracts import FILE_EVENT_TYPES
from tests.faults.catalogue.broker import rabbitmqctl
from tests.faults.catalogue.fault import Fault, Place
from tests.faults.evidence import journal_over_rpc

EXCHANGE = "files.events"
RPC_EXCHANGE = "nameko-rpc"
RECENT = 200


class Repeated(Fault):
    """The last 200 events come again, twice, in any order."""

    times = 2

    def __init__(self) -> None:
        super().__init__("events-repeated-and-shuffled")

    def inject(self, place: Place) -> None:
        events = journal_over_rpc(place.target.system.amqp_uri)[-RECENT:] * 2
        place.rng.shuffle(events)
        messages = [(EXCHANGE, event["type"], json.dumps(event).encode(), "application/json") for event in events]
        _publish(place.target.system.amqp_uri, messages)


class Malformed(Fault):
    """Bodies that are no JSON, no object, no event, from the future, or huge; calls without arguments or sender."""

    times = 2

    def __init__(self) -> None:
        super().__init__("events-malformed")

    def inject(self, place: Place) -> None:
        bodies = [
            b"", b"{", b"null", b"[]", b"17", b'"text"', b"{}", b"\xff\xfe", b"[" * 10_000,
            b'{"event_id": "1"}', b'{"event_id": -1}', b'{"event_id": null, "id": 1}', b'{"event_id": 1e400}',
            json.dumps({"event_id": 2**62, "type": "File_create", "cursor": "x:1", "user_id": 1}).encode(),
            json.dumps({"event_id": 1, "padding": "x" * 2_000_000}).encode(),
        ]  # fmt: skip
        kinds = ["application/json", "application/x-python-serialize", "text/plain", "", "application/octet-stream"]
        calls = ["files.apply", "files.changes", "users.create", "backup.versions", "backup.status", "files.nothing"]
        messages = [(EXCHANGE, name, body, kind) for name in FILE_EVENT_TYPES for body in bodies for kind in kinds]
        messages += [(RPC_EXCHANGE, call, body, kind) for call in calls for body in bodies for kind in kinds]
        place.rng.shuffle(messages)
        _publish(place.target.system.amqp_uri, messages)


class Dropped(Fault):
    """The broker drops events without a word: for a while none goes to the readers whose queues are cut off."""

    times = 2
    hold_seconds = 8.0
    READERS = ("notifier", "backup", "webhooks")
    """Not the gateway's: an exchange to which nothing is bound would be deleted."""

    def __init__(self) -> None:
        super().__init__("events-dropped")

    def inject(self, place: Place) -> None:
        names = "|".join(self.READERS)
        said = rabbitmqctl(
            place.target,
            "eval",
            'Cut = [B || B <- rabbit_binding:list(<<"/">>), element(4, element(2, B)) =:= <<"files.events">>, '
            f're:run(element(4, element(4, B)), "--({names})") =/= nomatch], '
            "persistent_term:put(docsave_cut, Cut), "
            '[rabbit_binding:remove(B, <<"docsave">>) || B <- Cut], length(Cut).',
        )
        assert int(said) > 0, said

    def heal(self, place: Place) -> None:
        rabbitmqctl(
            place.target, "eval", '[rabbit_binding:add(B, <<"docsave">>) || B <- persistent_term:get(docsave_cut)].'
        )


def _publish(amqp_uri: str, messages: list[tuple[str, str, bytes, str]]) -> None:
    """Put messages on the bus as anybody could who has an account there."""
    with kombu.Connection(amqp_uri) as connection, connection.channel() as channel:
        producer = kombu.Producer(channel)
        for exchange, key, body, kind in messages:
            encoding = "utf-8" if kind else "binary"
            producer.publish(
                body, routing_key=key, exchange=exchange, content_type=kind or None, content_encoding=encoding
            )


FAULTS: list[Fault] = [Repeated(), Malformed(), Dropped()]
