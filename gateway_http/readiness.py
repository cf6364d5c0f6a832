"""Whether the system can serve: one check a part, all at once, each with the same second to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eventlet
from kombu import Connection
from nameko.constants import AMQP_SSL_CONFIG_KEY, AMQP_URI_CONFIG_KEY
from werkzeug.wrappers import Response

from docsave_services.contracts import BACKUP, FILES, NOTIFIER, USERS, WEBHOOKS
from docsave_services.credentials import credentials_of
from docsave_services.errors import DatabaseUnavailable, DocsaveError, Unavailable
from docsave_services.log import get_logger
from docsave_services.nameko_ext import DeadlineRpc, RpcCaller
from gateway_http.limits import READY_DEADLINE_SECONDS
from gateway_http.responses import json_response

_log = get_logger(__name__)

_SERVICES = (USERS, FILES, BACKUP, NOTIFIER, WEBHOOKS)
_ON_THE_DATABASE = (USERS, FILES, WEBHOOKS)

Problem = str | None
"""What is wrong with a part, in words for an operator; None: nothing."""


class Readiness:
    """Asks every part whether it works."""

    def __init__(
        self, ask_broker: Callable[[], None], callers: dict[str, RpcCaller], knows_sessions: Callable[[], bool]
    ) -> None:
        self._ask_broker = ask_broker
        self._callers = callers
        self._knows_sessions = knows_sessions

    def report(self) -> Response:
        """200 when all is well, else 503, with one entry a part."""
        broker = eventlet.spawn(_problem_of, self._ask_broker)
        services = {name: eventlet.spawn(_answer_of, caller) for name, caller in self._callers.items()}
        answers = {name: check.wait() for name, check in services.items()}
        problems: dict[str, Problem] = {"broker": broker.wait(), "database": _database_problem(answers)}
        problems |= {name: problem for name, (_, problem) in answers.items()}
        if not self._knows_sessions():  # nobody is let in, however well everything answers by now
            problems[USERS] = problems[USERS] or "has not said lately whose sessions have ended"
        healthy = not any(problems.values())
        checks = {name: _check(problem) for name, problem in problems.items()}
        return json_response(
            {"status": "ok" if healthy else "failed", "checks": checks}, status=200 if healthy else 503
        )


def _check(problem: Problem) -> dict[str, str]:
    return {"status": "ok"} if problem is None else {"status": "failed", "detail": problem}


def _problem_of(ask: Callable[[], Any]) -> Problem:
    try:
        ask()
    except DocsaveError as exc:
        return exc.detail
    except Exception as exc:
        _log.warning("readiness_check_failed", error=repr(exc))
        return "does not answer"
    return None


def _answer_of(caller: RpcCaller) -> tuple[DocsaveError | None, Problem]:
    """The service's own error, for telling its database from itself, and what is wrong with it."""
    try:
        caller("health")
    except DatabaseUnavailable as exc:
        return exc, None  # the service lives; what it lacks has an entry of its own
    except DocsaveError as exc:
        return exc, exc.detail
    return None, None


def _database_problem(answers: dict[str, tuple[DocsaveError | None, Problem]]) -> Problem:
    errors = [answers[name][0] for name in _ON_THE_DATABASE]
    if any(isinstance(error, DatabaseUnavailable) for error in errors):
        return "does not answer"
    if all(errors):
        return "unknown: no service that uses it answers"
    return None


class ReadinessProvider(DeadlineRpc):
    """Injects ``Readiness``."""

    def __init__(self) -> None:
        super().__init__(USERS, READY_DEADLINE_SECONDS)

    def get_dependency(self, worker_ctx: Any) -> Readiness:  # type: ignore[override] # one caller for each service
        callers = {
            name: RpcCaller(worker_ctx, name, self.rpc_reply_listener, READY_DEADLINE_SECONDS) for name in _SERVICES
        }
        return Readiness(self._ask_broker, callers, self._knows_sessions)

    def _knows_sessions(self) -> bool:
        return credentials_of(self.container).revocations.view.is_fresh

    def _ask_broker(self) -> None:
        """Connect: the broker must let us in. A pooled connection may be a dead one and stays so."""
        config = self.container.config
        with (
            eventlet.Timeout(READY_DEADLINE_SECONDS, Unavailable("does not answer in time")),
            Connection(config[AMQP_URI_CONFIG_KEY], ssl=config.get(AMQP_SSL_CONFIG_KEY)) as connection,
        ):
            connection.connect()
