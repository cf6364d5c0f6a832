"""``python -m docsave_services.runtime.probe files``: the health check of a container.

Asks as the service's users do: the gateway over HTTP, the others over RPC. Ends with status 0, or 1 and one line.
"""

from __future__ import annotations

import sys
import urllib.request
from typing import Any

from docsave_services.runtime import environment as env
from docsave_services.runtime.announce import base_url
from docsave_services.runtime.programs import SERVICES

DEADLINE_SECONDS = 8.0


def main(arguments: list[str]) -> None:
    """Check the one service that is named."""
    if len(arguments) != 1 or arguments[0] not in SERVICES:
        sys.exit(f"usage: python -m {__spec__.name} {{{'|'.join(SERVICES)}}}")
    try:
        print(check(arguments[0], env.current()))
    except Exception as exc:  # whatever it is, the service does not answer as it should
        sys.exit(f"{arguments[0]}: {type(exc).__name__}: {exc}")


def check(service: str, resolved: dict[str, str]) -> Any:
    """What the service answers; any exception means that it is not well."""
    if service == "gateway":
        url = f"{base_url(resolved[env.HOST], resolved[env.PORT])}/health/live"
        with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:  # noqa: S310 - our own address
            return answer.status
    from nameko.standalone.rpc import ServiceRpcProxy  # late: the gateway's probe needs none of it

    with ServiceRpcProxy(service, {"AMQP_URI": resolved[env.AMQP_URI]}, timeout=DEADLINE_SECONDS) as proxy:
        return proxy.health()


if __name__ == "__main__":
    main(sys.argv[1:])
