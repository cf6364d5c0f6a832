"""The AsyncAPI 3 document of the events: on the bus, and over Socket.IO. Generated from the types that are sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any, Literal, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from docsave_services import __version__
from docsave_services.contracts import (
    FILE_EVENT_TYPES,
    FILE_PROTECTED,
    FILES,
    WEBHOOK_DISABLED,
    WEBHOOKS,
    FileEvent,
    ProtectedNews,
    WebhookNews,
)

EVENTS_EXCHANGE = f"{FILES}.events"
WEBHOOKS_EXCHANGE = f"{WEBHOOKS}.events"


class Wish(TypedDict):
    """Who a socket is, and where it wants to go on from. The bare token as a string does too."""

    token: str
    since: NotRequired[str | int]


class Welcome(TypedDict):
    """The ack of a wish that was granted; changes after ``cursor`` follow."""

    ok: Literal[True]
    user_id: int
    cursor: str


class Refused(TypedDict):
    """The ack of anything that was not done, with a stable code."""

    ok: Literal[False]
    code: str
    message: str


class Relayed(TypedDict):
    """The ack of an event that was passed on."""

    ok: Literal[True]


class ProtectedNotice(TypedDict):
    """The copy of that version is safe."""

    id: int
    user_id: int
    version: int
    cursor: str


class Nothing(TypedDict):
    """An object without fields."""


_TYPES = (FileEvent, ProtectedNews, Wish, Welcome, Refused, Relayed, ProtectedNotice, WebhookNews, Nothing)

Names = dict[str, tuple[str, ...]]
"""Names of events, and of the schemas that their payload has one of."""

RECEIVED: Names = {
    **{f"Notify_{name}": ("FileEvent", "RelayedEvent") for name in FILE_EVENT_TYPES},
    f"Notify_{FILE_PROTECTED}": ("ProtectedNotice",),
    WEBHOOK_DISABLED: ("WebhookNews",),
    "Session_expired": ("Nothing",),
}
"""What a client receives over Socket.IO."""

SENT: Names = {
    **dict.fromkeys(("User_connect", "Admin_connect"), ("Wish",)),
    **dict.fromkeys(FILE_EVENT_TYPES, ("RelayedEvent",)),
}
"""What a client may send."""

ACKS: Names = {
    **dict.fromkeys(("User_connect", "Admin_connect"), ("Welcome", "Refused")),
    **dict.fromkeys(FILE_EVENT_TYPES, ("Relayed", "Refused")),
}
"""What the client gets back for it."""

ON_THE_BUS: Names = {**dict.fromkeys(FILE_EVENT_TYPES, ("FileEvent",)), FILE_PROTECTED: ("ProtectedNews",)}
"""Events of the files service's exchange, by routing key."""

OF_WEBHOOKS: Names = {WEBHOOK_DISABLED: ("WebhookNews",)}
"""Events of the webhooks service's exchange."""


def document() -> dict[str, Any]:
    """The whole document as JSON values."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "docsave events",
            "version": __version__,
            "description": "Every change of a document, in the order of event_id. At least once on the bus; over"
            " Socket.IO once for each socket, and from the place that a client gives as since. The HTTP API is told of"
            " by /openapi.json on its own port.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "bus": _exchange(EVENTS_EXCHANGE, ON_THE_BUS),
            "webhooks_bus": _exchange(WEBHOOKS_EXCHANGE, OF_WEBHOOKS),
            "socket": {
                "address": "/socket.io",
                "description": "Socket.IO protocol 5 (clients 3.x and 4.x), websocket or polling.",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"}
                    for name in (*SENT, *RECEIVED, *(f"ack.{name}" for name in ACKS))
                },
            },
        },
        "operations": {
            "hear_bus": _operation("receive", "bus", ON_THE_BUS),
            "hear_webhooks_bus": _operation("receive", "webhooks_bus", OF_WEBHOOKS),
            "hear_socket": _operation("receive", "socket", RECEIVED),
            **{f"emit_{name}": _emission(name) for name in SENT},
        },
        "components": {"messages": _messages(), "schemas": schemas()},
    }  # fmt: skip


def schemas() -> dict[str, Any]:
    """The JSON Schemas of all payloads, by name."""
    inputs = [(kind.__name__, "serialization", TypeAdapter(kind)) for kind in _TYPES]
    _, made = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    found: dict[str, Any] = made["$defs"]
    return {**found, "RelayedEvent": _relayed(found["FileEvent"])}


def _relayed(event: dict[str, Any]) -> dict[str, Any]:
    """What an administrator sends is an event with less in it; how it arrives says that it is none of the journal."""
    return {
        **event,
        "title": "RelayedEvent",
        "description": "An administrator's own event; it is passed on with relayed, and stands in no journal.",
        "properties": {**event["properties"], "relayed": {"const": True}},
        "required": ["id", "user_id"],
    }


def _exchange(name: str, events: Names) -> dict[str, Any]:
    return {
        "address": name,
        "description": "RabbitMQ, a topic exchange; the routing key is the event's name.",
        "messages": {event: {"$ref": f"#/components/messages/bus.{event}"} for event in events},
        "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": name, "type": "topic", "durable": True}}},
    }


def _operation(action: str, channel: str, names: Iterable[str]) -> dict[str, Any]:
    messages = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": messages}


def _emission(name: str) -> dict[str, Any]:
    reply = _operation("receive", "socket", [f"ack.{name}"])
    del reply["action"]
    return {**_operation("send", "socket", [name]), "reply": reply}


def _messages() -> dict[str, Any]:
    return {
        **{f"bus.{name}": _message(name, kinds) for name, kinds in {**ON_THE_BUS, **OF_WEBHOOKS}.items()},
        **{name: _message(name, kinds) for name, kinds in {**SENT, **RECEIVED}.items()},
        **{f"ack.{name}": _message(f"ack of {name}", kinds) for name, kinds in ACKS.items()},
    }


def _message(name: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    schemas = [{"$ref": f"#/components/schemas/{kind}"} for kind in kinds]
    return {"name": name, "payload": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}


if __name__ == "__main__":  # make asyncapi
    sys.stdout.write(json.dumps(document(), indent=2) + "\n")
