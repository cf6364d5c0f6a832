"""Says once, when the system answers, where it is and how long it took."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request

from docsave_services.runtime import environment as env
from docsave_services.runtime.service import follow_supervisor, wait_for

STARTED_AT = "DOCSAVE_STARTED_AT"
"""When the start began, in seconds of the machine's monotonic clock."""

PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.5
_ASK_SECONDS = 10.0


def main() -> None:
    """Poll ``/health/ready``; print the addresses when all is well."""
    follow_supervisor()
    resolved = env.current()
    begun = float(os.environ.get(STARTED_AT, time.monotonic()))
    api = base_url(resolved[env.HOST], resolved[env.PORT])
    if not wait_for(lambda: is_ready(api), PATIENCE_SECONDS, POLL_SECONDS):
        sys.exit(f"docsave is not ready after {PATIENCE_SECONDS:.0f} s; {api}/health/ready says what is missing")
    print(
        f"docsave is ready after {time.monotonic() - begun:.1f} s\n"
        f"  HTTP API   {api}\n"
        f"  Socket.IO  {base_url(resolved[env.HOST], resolved[env.NOTIFIER_PORT])}\n"
        f"  {_where_the_password_is(resolved)}",
        flush=True,
    )


def base_url(host: str, port: str) -> str:
    """An address to type into a client; one that means "every interface" is shown as this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


def is_ready(api: str) -> bool:
    """Whether every part answers."""
    try:
        with urllib.request.urlopen(f"{api}/health/ready", timeout=_ASK_SECONDS) as answer:  # noqa: S310 - our own
            return bool(json.load(answer)) and answer.status == 200
    except (OSError, ValueError, urllib.error.URLError):
        return False  # not yet; the caller bounds the waiting


def _where_the_password_is(resolved: dict[str, str]) -> str:
    login = resolved.get("DOCSAVE_ADMIN_LOGIN") or "admin"
    path = env.admin_password_file(resolved)
    where = f"in {path}" if path.exists() else f"the one of {env.ADMIN_PASSWORD}"
    return f"admin      login {login}, first password {where}"


if __name__ == "__main__":
    main()
