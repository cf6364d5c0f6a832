"""What runs: the services and how each is started, by ``make run`` and by the containers alike."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from docsave_services.runtime import environment as env


@dataclass(frozen=True, slots=True)
class ServiceProgram:
    """One service: the class Nameko runs, the secrets it needs, and whether it waits for the database's schema."""

    name: str
    target: str
    secrets: tuple[str, ...]
    uses_database: bool = False


_KEYS = (env.SECRET_KEY, env.SECRET_KEY_PREVIOUS)

SERVICES = {
    program.name: program
    for program in (
        ServiceProgram(
            "users",
            "docsave_services.users.service:UsersService",
            (env.AMQP_URI, env.DB_URI, *_KEYS),
            uses_database=True,
        ),
        ServiceProgram(
            "files", "docsave_services.files.service:FilesService", (env.AMQP_URI, env.DB_URI), uses_database=True
        ),
        ServiceProgram(
            "webhooks",
            "docsave_services.webhooks.service:WebhooksService",
            (env.AMQP_URI, env.DB_URI, *_KEYS),
            uses_database=True,
        ),
        ServiceProgram("backup", "backup.service:Backup", (env.AMQP_URI, env.S3_KEY_ID, env.S3_SECRET)),
        ServiceProgram("notifier", "notifier_bridge.service:Notifier", (env.AMQP_URI, *_KEYS)),
        ServiceProgram("gateway", "gateway:Gateway", (env.AMQP_URI, *_KEYS)),
    )
}


def service_command(name: str, python: str = sys.executable) -> list[str]:
    """The command line of a service's process."""
    return [python, "-m", "docsave_services.runtime.service", name]


def bootstrap_command(python: str = sys.executable) -> list[str]:
    """The command line of the one-shot preparation."""
    return [python, "-m", "docsave_services.runtime.bootstrap"]


def own_amqp_uri(name: str) -> str:
    """The variable by which the supervisor knows a service's own account at the private broker."""
    return f"AMQP_URI_OF_{name.upper()}"
