"""Who may do what at the broker: an account for each service, with no more rights than it uses.

``python -m docsave_services.runtime.broker_rights DIRECTORY`` reads passwords from ``amqp_password`` (the operator's)
and ``amqp_password_<service>`` there and prints the definitions that RabbitMQ loads at its start. Standard library
only: it runs before anything is installed.

What a stolen account is good for is said by ``CALLS``: the notifier's can read the journal, and neither save a document
nor hear a log-in. RabbitMQ checks routing keys of topic exchanges (its "topic permissions"), and Nameko sends calls by
one, as ``<service>.<method>``, and answers by another whose keys are random UUIDs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPERATOR = "docsave"
"""The account of ``nameko shell`` and of the operator's commands: all rights."""

_JOURNAL = r"files\.(changes|head)"
_CREDENTIALS = r"users\.(verify_key|revocations)"

CALLS = {
    "gateway": r"(users|files|backup|webhooks|notifier)\.[a-z_]+",
    "notifier": rf"{_JOURNAL}|{_CREDENTIALS}",
    "users": "",
    "files": "",
    "webhooks": rf"{_JOURNAL}|{_CREDENTIALS}",
    "backup": rf"{_JOURNAL}|files\.protected|users\.list",
}
"""For each service what it calls, as a pattern of ``<service>.<method>``. Its own ``health`` is for its probe."""

_ANSWER = "[0-9a-f-]{36}"
_EVENTS = rf"({'|'.join(CALLS)})\.events"
_CALLS_EXCHANGE = "nameko-rpc"


def definitions(passwords: Mapping[str, str]) -> dict[str, Any]:
    """RabbitMQ's definitions; ``passwords`` has one for ``OPERATOR`` and one for each service of ``CALLS``."""
    return {
        "vhosts": [{"name": "/"}],
        "users": [_user(name, passwords[name]) for name in (OPERATOR, *CALLS)],
        "permissions": [_permission(OPERATOR, ".*", ".*", ".*"), *(_rights(name) for name in CALLS)],
        "topic_permissions": [_topics(name, calls) for name, calls in CALLS.items()],
    }


def _user(name: str, password: str) -> dict[str, Any]:
    """RabbitMQ's own format: four bytes of salt, then SHA-256 of them and the password. Passwords are random."""
    salt = os.urandom(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": name,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["administrator"] if name == OPERATOR else [],
    }


def _permission(name: str, configure: str, write: str, read: str) -> dict[str, str]:
    return {"user": name, "vhost": "/", "configure": configure, "write": write, "read": read}


def _rights(service: str) -> dict[str, str]:
    """Its queues are its own. It declares every exchange it listens to, and publishes events in its own name alone."""
    queues = rf"rpc-{service}|rpc\.reply-({service}|standalone_rpc_proxy.*)-.*|evt-.*--{service}\..*"
    return _permission(
        service,
        configure=f"^({_CALLS_EXCHANGE}|{_EVENTS}|{queues})$",
        write=rf"^({_CALLS_EXCHANGE}|{service}\.events|{queues})$",
        read=f"^({_CALLS_EXCHANGE}|{_EVENTS}|{queues})$",
    )


def _topics(service: str, calls: str) -> dict[str, str]:
    """It answers whom it must, calls what it uses, and takes only its own calls and answers out."""
    mine = "|".join(part for part in (calls, rf"{service}\.health", _ANSWER) if part)
    return {
        "user": service,
        "vhost": "/",
        "exchange": _CALLS_EXCHANGE,
        "write": f"^({mine})$",
        "read": rf"^({service}\.\*|{_ANSWER})$",
    }


def _main(directory: Path) -> None:
    files = {OPERATOR: "amqp_password", **{name: f"amqp_password_{name}" for name in CALLS}}
    passwords = {name: (directory / file).read_text().strip() for name, file in files.items()}
    print(json.dumps(definitions(passwords), indent=1))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
