"""Calls of the bus with arguments that are missing, too many, of the wrong type or huge: every method there is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nameko.exceptions import IncorrectSignature
from nameko.rpc import Rpc

from backup.service import Backup
from docsave_services.errors import DocsaveError, InternalError
from docsave_services.files.service import FilesService
from docsave_services.users.service import UsersService
from docsave_services.webhooks.service import WebhooksService
from notifier_bridge.service import Notifier
from tests.integration.bad_input.place import Place
from tests.integration.bad_input.row import Input, Row

SERVICES: tuple[Any, ...] = (UsersService, FilesService, WebhooksService, Backup, Notifier)

NOBODY = 2**31 - 1
WRONG: list[Any] = [None, NOBODY, 0, -1, 2**63, 1.5, True, "x", "\0", [], [[1]], {}, {"a": {"b": 1}}]
READING = {"get", "get_many", "list", "list_many", "past", "list_past", "compare", "folders", "changes", "usage",
           "versions", "version", "proof", "holds", "audit", "list_keys", "list_sessions", "deliveries",
           "revocations"}  # fmt: skip
"""Methods that change nothing, whatever is asked."""

FITTING = {"at": "2026-01-01T00:00:00Z", "version": 1, "webhook_id": 1, "file_ids": [1]}
TAKE_LARGE = {"create", "authenticate", "apply", "versions"}
"""One or two of each service: what a message may weigh is not a matter of methods."""

LARGE = "x" * 10_000_000


def _methods() -> list[tuple[str, str, dict[str, inspect.Parameter]]]:
    """Service, method and parameters of each call that can be made."""
    return [
        (service.name, name, dict(list(inspect.signature(method).parameters.items())[1:]))
        for service in SERVICES
        for name, method in vars(service).items()
        if any(isinstance(entrypoint, Rpc) for entrypoint in getattr(method, "nameko_entrypoints", ()))
    ]


METHODS = _methods()


def _required(parameters: dict[str, inspect.Parameter]) -> list[str]:
    """Those without a default."""
    plain = [n for n, p in parameters.items() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return [n for n in plain if parameters[n].default is inspect.Parameter.empty]


def _named_error(place: Place, service: str, method: str, arguments: dict[str, Any]) -> bool:
    """Whether it was refused; with an error of ours or Nameko's word for a wrong signature, never with another."""
    try:
        getattr(place.rpc[service], method)(**arguments)
    except InternalError:
        raise
    except (IncorrectSignature, DocsaveError):
        return True
    return False


def _lives(place: Place, service: str) -> None:
    assert place.rpc[service].health()


def _missing(service: str, method: str) -> Callable[[Place], None]:
    return lambda place: _must(_named_error(place, service, method, {}))


def _extra(service: str, method: str) -> Callable[[Place], None]:
    return lambda place: _must(_named_error(place, service, method, {"nonsense": 1}))


def _wrong_types(service: str, method: str, required: list[str]) -> Callable[[Place], None]:
    """All that must be given, of one wrong type after the other. What fits by chance finds nothing to change."""

    def act(place: Place) -> None:
        for value in WRONG:
            _named_error(place, service, method, dict.fromkeys(required, value))
        _lives(place, service)

    return act


def _wrong_options(service: str, method: str, parameters: dict[str, inspect.Parameter]) -> Callable[[Place], None]:
    """What may be left out, of one wrong type after the other, beside what fits."""

    def act(place: Place) -> None:
        fitting = {"file_id": place.file["id"], "user_id": place.person.id, **FITTING}
        needed = {name: fitting[name] for name in _required(parameters)}
        for option in parameters.keys() - needed.keys():
            for value in WRONG:
                _named_error(place, service, method, {**needed, option: value})

    return act


def _large(service: str, method: str, required: list[str]) -> Callable[[Place], None]:
    def act(place: Place) -> None:
        _must(_named_error(place, service, method, dict.fromkeys(required, LARGE)))
        _lives(place, service)

    return act


def _must(refused: bool) -> None:
    assert refused


ROWS = [
    Row(
        "RPC with missing arguments",
        tuple(Input(f"{s}.{m}", _missing(s, m)) for s, m, p in METHODS if _required(p)),
    ),
    Row(
        "RPC with extra arguments",
        tuple(Input(f"{s}.{m}", _extra(s, m)) for s, m, _ in METHODS),
    ),
    Row(
        "RPC with wrong types",
        tuple(Input(f"{s}.{m}", _wrong_types(s, m, _required(p))) for s, m, p in METHODS if _required(p)),
    ),
    Row(
        "RPC with wrong types of what may be left out",
        tuple(
            Input(f"{s}.{m}", _wrong_options(s, m, p))
            for s, m, p in METHODS
            if m in READING and len(p) > len(_required(p))
        ),
    ),
    Row(
        "RPC of 10 MB",
        tuple(Input(f"{s}.{m}", _large(s, m, _required(p))) for s, m, p in METHODS if m in TAKE_LARGE and _required(p)),
    ),
]
