"""The requests that docsave itself sends: deliveries to webhooks (standardwebhooks.com)."""

from __future__ import annotations

from typing import Any

from docsave_services.contracts import FILE_EVENT_TYPES

_HEADERS = {
    "webhook-id": "The message. A repetition has the same.",
    "webhook-timestamp": "When it was sent, in seconds since 1970.",
    "webhook-signature": "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64; one for each secret in use.",
}


def sent_requests() -> dict[str, Any]:
    """One for each type of event; what receivers need to know is the same for all."""
    return {name: {"post": _delivery(name)} for name in FILE_EVENT_TYPES}


def _delivery(name: str) -> dict[str, Any]:
    return {
        "operationId": f"receive_{name}",
        "tags": ["Webhooks"],
        "summary": f"{name} for an endpoint",
        "description": "At least once, in order. Anything but 2xx is tried again for a day, with growing pauses.",
        "parameters": [
            {"name": header, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for header, text in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/FileEvent"}}},
        },
        "responses": {"2XX": {"description": "You have it."}, "410": {"description": "Never send anything again."}},
    }
