"""The web console: one page, and what it must know of the installation that serves it.

Everything else that it shows comes from the same API as everybody's programs use.
"""

from __future__ import annotations

import re
from typing import Any

from werkzeug.wrappers import Response

from docsave_services import __version__
from docsave_services.settings import Settings
from gateway_http.request import GatewayRequest
from gateway_http.static_files import StaticFiles

PAGE = "console/index.html"

_HOST = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def console_page(request: GatewayRequest, static: StaticFiles) -> Response:
    """The page. It may connect to this origin and to the notifier's, and to no other."""
    return static.answer(request, PAGE, notifier_origins(request.settings, request.headers.get("Host", "")))


def notifier_origins(settings: Settings, host: str) -> list[str]:
    """Where the page may open its Socket.IO connection, as sources of a Content Security Policy.

    ``host`` is the request's ``Host``: what it cannot be is left out, so nothing else gets into the policy.
    """
    if settings.notifier_url == "/":
        return []
    if settings.notifier_url:
        return [settings.notifier_url, re.sub("^http", "ws", settings.notifier_url)]
    match = _HOST.fullmatch(host)
    if match is None:
        return []
    # In a policy http stands for https too, and ws for wss.
    return [f"{scheme}://{match[1]}:{settings.notifier_port}" for scheme in ("http", "ws")]


def console_settings(settings: Settings) -> dict[str, Any]:
    """Public: nothing in it is secret. Without a ``notifier_url`` it is the page's own host at ``notifier_port``."""
    return {
        "version": __version__,
        "notifier_url": settings.notifier_url or None,
        "notifier_port": settings.notifier_port,
        "registration": settings.registration,
        "max_file_bytes": settings.max_file_bytes,
    }
