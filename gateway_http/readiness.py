"""Whether the system can serve: one check a part, all at once, each with the same time to answer.

The answer comes within a second whatever is broken: a check that hangs is left behind, and the next question waits for
the same one instead of starting another.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventlet
from eventlet import tpool
from kombu import Connection
from nameko.constants import AMQP_SSL_CONFIG_KEY, AMQP_URI_CONFIG_KEY
from werkzeug.wrappers import Response

from docsave_services.contracts import BACKUP, FILES, NOTIFIER, USERS, WEBHOOKS
from docsave_services.credentials import credentials_of
from docsave_services.errors import DatabaseUnavailable, DocsaveError, RpcTimeout, Unavailable
from docsave_services.log import get_logger
from docsave_services.nameko_ext import DeadlineRpc
from docsave_services.settings import Settings
from gateway_http.limits import READY_DEADLINE_SECONDS, READY_FREE_BYTES_MIN, READY_SECONDS
from gateway_http.responses import json_response

_log = get_logger(__name__)

_SERVICES = (USERS, FILES, BACKUP, NOTIFIER, WEBHOOKS)
_ON_THE_DATABASE = (USERS, FILES, WEBHOOKS)

Ask = Callable[[], Any]


class Part:
    """One part and the question whether it works. ``ask`` raises what is wrong."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._asking: Any = None

    def begin(self) -> None:
        """Ask, unless an earlier question is still open."""
        if self._asking is None or self._asking.dead:
            self._asking = eventlet.spawn(self._outcome)

    def outcome(self, seconds: float) -> DocsaveError | None:
        """What is wrong, None: nothing. A part that says nothing for ``seconds`` does not answer."""
        with eventlet.Timeout(seconds, False):
            found: DocsaveError | None = self._asking.wait()
            return found
        return RpcTimeout("does not answer in time")

    def _outcome(self) -> DocsaveError | None:
        try:
            self._ask()
        except DocsaveError as exc:
            return exc
        except Exception as exc:
            _log.warning("readiness_check_failed", error=repr(exc))
            return Unavailable("does not answer")
        return None


class Readiness:
    """Asks every part, by its name, whether it works."""

    def __init__(self, parts: dict[str, Ask]) -> None:
        self._parts = {name: Part(ask) for name, ask in parts.items()}

    def report(self) -> Response:
        """200 when all is well, else 503, with one entry a part."""
        for part in self._parts.values():
            part.begin()
        hub = eventlet.hubs.get_hub()
        end = hub.clock() + READY_SECONDS
        errors = {name: part.outcome(max(end - hub.clock(), 0.0)) for name, part in self._parts.items()}
        problems = {name: _problem(error) for name, error in errors.items()}
        problems["database"] = _database_problem(errors)
        healthy = not any(problems.values())
        checks = {name: _check(problem) for name, problem in problems.items()}
        return json_response(
            {"status": "ok" if healthy else "failed", "checks": checks}, status=200 if healthy else 503
        )


def _check(problem: str | None) -> dict[str, str]:
    return {"status": "ok"} if problem is None else {"status": "failed", "detail": problem}


def _problem(error: DocsaveError | None) -> str | None:
    if error is None or isinstance(error, DatabaseUnavailable):
        return None  # a service without its database lives; what it lacks has an entry of its own
    return error.detail


def _database_problem(errors: dict[str, DocsaveError | None]) -> str | None:
    found = [errors[name] for name in _ON_THE_DATABASE if name in errors]
    if any(isinstance(error, DatabaseUnavailable) for error in found):
        return "does not answer"
    if found and all(found):
        return "unknown: no service that uses it answers"
    return None


def check_blobs(root: Path) -> None:
    """``Unavailable`` unless content can be saved: the directory is there, writable, and has room. Blocking."""
    try:
        disk = os.statvfs(root)
    except OSError as exc:
        raise Unavailable("the directory of the blob store is not there") from exc
    if disk.f_flag & os.ST_RDONLY or not os.access(root, os.W_OK):
        raise Unavailable("the blob store cannot be written")
    if disk.f_bavail * disk.f_frsize < READY_FREE_BYTES_MIN:
        raise Unavailable("the disk of the blob store is full")


def check_backup_directory(root: Path) -> None:
    """``Unavailable`` unless copies can be read: earlier versions are sent from there. Blocking."""
    try:
        os.statvfs(root)
    except OSError as exc:
        raise Unavailable("the backup directory is not there") from exc
    if not os.access(root, os.R_OK | os.X_OK):
        raise Unavailable("the backup directory cannot be read")


class ReadinessProvider(DeadlineRpc):
    """Injects ``Readiness``, one for all requests."""

    def __init__(self) -> None:
        super().__init__(USERS, READY_DEADLINE_SECONDS)

    def setup(self) -> None:
        super().setup()
        settings = Settings.from_config(self.container.config)
        parts: dict[str, Ask] = {"broker": self._ask_broker}
        parts |= {name: self._health_of(name) for name in _SERVICES}
        parts[USERS] = self._ask_users
        parts["blobs"] = lambda: tpool.execute(check_blobs, settings.blob_dir)
        parts["backup_directory"] = lambda: tpool.execute(check_backup_directory, settings.backup_dir)
        self.readiness = Readiness(parts)

    def get_dependency(self, worker_ctx: Any) -> Readiness:  # type: ignore[override] # what the route uses it for
        return self.readiness

    def _health_of(self, service: str) -> Ask:
        return lambda: self.outside_worker(service)("health")

    def _ask_users(self) -> None:
        self._health_of(USERS)()
        if not credentials_of(self.container).revocations.view.is_fresh:
            # Nobody is let in, however well everything answers by now.
            raise Unavailable("has not said lately whose sessions have ended")

    def _ask_broker(self) -> None:
        """Connect: the broker must let us in. A pooled connection may be a dead one and stays so."""
        config = self.container.config
        with (
            eventlet.Timeout(READY_DEADLINE_SECONDS, Unavailable("does not answer in time")),
            Connection(config[AMQP_URI_CONFIG_KEY], ssl=config.get(AMQP_SSL_CONFIG_KEY)) as connection,
        ):
            connection.connect()
