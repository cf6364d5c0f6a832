"""Messages that come twice, out of order, not at all, or as nonsense."""

from __future__ import annotations

import json
import random
import threading
from typing import Any

import eventlet
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


class Stolen(Fault):
    """Somebody else takes events from the services' queues: one of five is never seen again, the others come late."""

    hold_seconds = 12.0

    def __init__(self) -> None:
        super().__init__("events-dropped")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def inject(self, place: Place) -> None:
        names = rabbitmqctl(place.target, "list_queues", "name", "exclusive").splitlines()
        queues = [line.split("\t")[0] for line in names if line.startswith("evt-files-") and line.endswith("false")]
        assert queues, names
        self._stop.clear()
        arguments = (place.target.system.amqp_uri, queues, random.Random(place.rng.random()))
        self._thread = threading.Thread(target=self._steal, args=arguments, daemon=True)
        self._thread.start()

    def heal(self, place: Place) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(20)

    def _steal(self, amqp_uri: str, queues: list[str], rng: random.Random) -> None:
        held: list[Any] = []
        with kombu.Connection(amqp_uri) as connection, connection.channel() as channel:
            channel.basic_qos(0, 5, False)
            for queue in queues:
                channel.basic_consume(queue, callback=held.append, no_ack=False)
            while not self._stop.is_set():
                try:
                    connection.drain_events(timeout=0.3)
                except TimeoutError:
                    self._give_back(channel, held, rng)
            self._give_back(channel, held, rng)

    @staticmethod
    def _give_back(channel: Any, held: list[Any], rng: random.Random) -> None:
        rng.shuffle(held)
        while held:
            tag = held.pop().delivery_tag
            if rng.random() < 0.2:
                channel.basic_ack(tag)
            else:
                channel.basic_reject(tag, requeue=True)
        eventlet.sleep(0)


def _publish(amqp_uri: str, messages: list[tuple[str, str, bytes, str]]) -> None:
    """Put messages on the bus as anybody could who has an account there."""
    with kombu.Connection(amqp_uri) as connection, connection.channel() as channel:
        producer = kombu.Producer(channel)
        for exchange, key, body, kind in messages:
            encoding = "utf-8" if kind else "binary"
            producer.publish(
                body, routing_key=key, exchange=exchange, content_type=kind or None, content_encoding=encoding
            )


FAULTS: list[Fault] = [Repeated(), Malformed(), Stolen()]
