"""What answers contain, where that is not one of the shapes that services share."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from docsave_services import contracts
from docsave_services.errors import FieldError


class OwnSession(contracts.LiveSession):
    """Where the caller is logged in; ``current`` marks the session that asks."""

    current: bool


class OwnSessions(TypedDict):
    """The caller's sessions."""

    items: list[OwnSession]


class ApiKeyWithKey(contracts.NewApiKey):
    """A new key: the only answer that ever contains ``key`` itself."""


class ApiKeys(TypedDict):
    """The caller's keys."""

    items: list[contracts.ApiKey]


class WebhookWithSecret(contracts.NewWebhook):
    """A new endpoint with its ``secret``, which is shown this once."""


class Versions(TypedDict):
    """What a file has been, newest first; ``next`` is the ``after`` of the following page."""

    items: list[contracts.Version]
    next: str | None


class HoldList(TypedDict):
    """Holds by file; ``next`` is the ``after`` of the following page."""

    items: list[contracts.Hold]
    next: str | None


class VersionProof(TypedDict):
    """That an entry is part of the backup's history: ``path`` leads from its hash to ``root``, the head over the first
    ``size`` entries. ``docs/examples/verify_proof.py`` checks it."""

    format: str
    store_id: str
    epoch: str
    entry: dict[str, Any]
    index: int
    size: int
    path: list[str]
    root: str


class OperationDone(TypedDict):
    """An operation of a batch that was done."""

    status: Literal[200]
    file: contracts.File


class OperationRefused(TypedDict):
    """An operation of a batch that was refused: its ``status`` and ``code`` are those that it would get alone."""

    status: int
    code: str
    detail: str
    errors: NotRequired[list[FieldError]]


class BatchResults(TypedDict):
    """One result for each operation, in their order."""

    results: list[OperationDone | OperationRefused]


class RestoreFailure(TypedDict):
    """Why a file was not restored: the action that was ``wanted``, and the problem's code."""

    wanted: str
    code: str
    detail: str


class RestoreStep(TypedDict):
    """What happened to one file; with ``dry_run``, what would. ``new_id`` is that of a file that was made anew."""

    id: int
    user_id: int
    name: str
    folder: str
    action: Literal["changed", "undeleted", "recreated", "trashed", "left", "failed"]
    restored_version: int | None
    version: int | None
    differs: NotRequired[list[str]]
    new_id: NotRequired[int]
    error: NotRequired[RestoreFailure]


class RestoreReport(TypedDict):
    """What was done, file by file; unchanged ones are only counted. ``next`` is the ``after``
    of the order that goes on."""

    at: str
    dry_run: bool
    counts: dict[str, int]
    items: list[RestoreStep]
    next: str | None


class DownloadTicket(TypedDict):
    """``url`` can be opened without a token; the download must begin within ``expires_in`` seconds."""

    url: str
    expires_in: int


class BackupStatus(TypedDict):
    """How far the backup is: ``lag_events`` changes are not copied yet, null while that is not known. The operator's
    manual tells of further fields."""

    state: str
    reason: str | None
    cursor: str | None
    head: str | None
    lag_events: int | None
    waiting: int
    copied: int
    failing: list[dict[str, Any]]
    failing_total: int


class ConsoleSettings(TypedDict):
    """What the web console must know. Without ``notifier_url`` Socket.IO is on the same host at ``notifier_port``."""

    version: str
    notifier_url: str | None
    notifier_port: int
    registration: Literal["open", "admin"]
    max_file_bytes: int


class Live(TypedDict):
    """The process answers."""

    status: Literal["ok"]
    version: str


class Check(TypedDict):
    """How one part is; ``detail`` says what is wrong."""

    status: Literal["ok", "failed"]
    detail: NotRequired[str]


class Ready(TypedDict):
    """How all parts are, by their names."""

    status: Literal["ok", "failed"]
    checks: dict[str, Check]


class Problem(TypedDict):
    """What went wrong (RFC 9457). ``code`` is stable; ``errors`` names the fields that are wrong."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: NotRequired[list[FieldError]]
