"""Making files what they were at a moment, as new versions: history is never rewritten.

A plan comes first: for each file what it was, what it is, and the one change that makes it so again. Each change is
for the version that was seen, so that nobody's change in between is undone; and none is made where nothing differs,
so that the same order again does nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from docsave_services.contracts import FILES, Change, Compared, ComparedPage, Outcome, StoredFile
from docsave_services.errors import DocsaveError, Forbidden, NotFound
from docsave_services.nameko_ext import DeadlineRpc, RpcCaller
from docsave_services.storage import BlobStore, blob_key
from gateway_http.limits import RESTORE_FILES_MAX, RESTORE_PAGE, RESTORE_SECONDS, RESTORE_STEP
from gateway_http.request import GatewayRequest
from gateway_http.schemas import RestoreOrder, RestoreScope
from gateway_http.versions import Versions
from gateway_http.wanted_change import change_of

UNCHANGED = "unchanged"
CHANGED = "changed"
UNDELETED = "undeleted"
RECREATED = "recreated"
TRASHED = "trashed"
LEFT = "left"
FAILED = "failed"

_COMPARED = ("name", "folder", "labels", "sha256")
_SHOWN_AS = {"sha256": "content"}


@dataclass(slots=True)
class Step:
    """What happens to one file: ``change`` None is nothing. ``differs`` names what is not as it was."""

    file_id: int
    action: str
    shown: StoredFile
    then: StoredFile | None
    change: Change | None = None
    differs: list[str] = field(default_factory=list)
    new_id: int | None = None
    version: int | None = None
    error: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """The step as the answer shows it."""
        told: dict[str, Any] = {
            "id": self.file_id,
            "user_id": self.shown["user_id"],
            "name": self.shown["name"],
            "folder": self.shown["folder"],
            "action": self.action,
            "restored_version": self.then["version"] if self.then else None,
            "version": self.version,
        }
        more = {"differs": self.differs, "new_id": self.new_id, "error": self.error}
        return told | {name: value for name, value in more.items() if value}


class Restoring:
    """Restores the caller's files; an administrator's are everybody's."""

    def __init__(self, call: RpcCaller) -> None:
        self._call = call

    def run(self, request: GatewayRequest, order: RestoreOrder, store: BlobStore, versions: Versions) -> dict[str, Any]:
        """Plan and, unless it is a dry run, apply; the plan with what became of each step. ``NotFound`` for one file
        that neither was there then nor is now, or is somebody else's.

        An answer ends after ``RESTORE_FILES_MAX`` files or ``RESTORE_SECONDS``; ``next`` is then the ``after`` of
        the order that goes on.
        """
        scope = self._scope(request, order.scope)
        end = time.monotonic() + RESTORE_SECONDS
        counts: Counter[str] = Counter()
        items: list[dict[str, Any]] = []
        page: ComparedPage = {"items": [], "next": order.after, "at": order.at}
        at_once = RESTORE_PAGE if order.dry_run else RESTORE_STEP
        for _ in range(RESTORE_FILES_MAX // at_once):
            page = self._call("compare", at=order.at, after=page["next"], limit=at_once, **scope)
            steps = [_step(request, compared, order.trash_newer) for compared in page["items"]]
            if not order.dry_run:
                self._apply(steps, store, versions)
            counts.update(step.action for step in steps)
            items += [step.as_json() for step in steps if step.action != UNCHANGED]
            if page["next"] is None or time.monotonic() >= end:
                break
        if "file_id" in scope and not counts:
            raise NotFound
        return {
            "at": page["at"],
            "dry_run": order.dry_run,
            "counts": dict(counts),
            "items": items,
            "next": page["next"],
        }

    def _scope(self, request: GatewayRequest, scope: str | RestoreScope) -> dict[str, Any]:
        """Whose files, which of them. ``Forbidden`` for other people's."""
        identity = request.identity
        if not isinstance(scope, RestoreScope):
            if not identity.is_admin:
                raise Forbidden("Only an administrator may restore everybody's files")
            return {"user_id": None}
        if scope.user not in (None, identity.user_id) and not identity.is_admin:
            raise Forbidden("Only an administrator may restore other accounts' files")
        if scope.file is not None:
            return {"user_id": None if identity.is_admin else identity.user_id, "file_id": scope.file}
        owner = identity.user_id if scope.user is None else scope.user
        return {"user_id": owner} if scope.folder is None else {"user_id": owner, "folder": scope.folder}

    def _apply(self, steps: Sequence[Step], store: BlobStore, versions: Versions) -> None:
        ready = [step for step in steps if step.change is not None and _has_content(step, store, versions)]
        changes = [step.change for step in ready]
        outcomes: list[Outcome] = self._call("apply", changes=changes) if changes else []
        for step, outcome in zip(ready, outcomes, strict=True):
            _note(step, outcome)


def _step(request: GatewayRequest, compared: Compared, trash_newer: bool) -> Step:
    """The one change that makes a file what it was."""
    then, now = compared["then"], compared["now"]
    shown = then or now
    if shown is None:
        raise NotFound
    file_id = compared["id"]
    if then is None or then["deleted_at"] is not None:
        return _newer(request, compared, shown, trash_newer)
    if now is None:
        change = _as_then(change_of(request, "create"), then)
        change["user_id"] = then["user_id"]
        change["change_key"] = compared["recreation_key"] or change["change_key"]
        return Step(file_id, RECREATED, shown, then, change)
    heir = now["id"] if now["id"] != file_id else None
    differs = [_SHOWN_AS.get(name, name) for name in _COMPARED if then[name] != now[name]]  # type: ignore[literal-required]
    if now["deleted_at"] is not None:
        change = _as_then(change_of(request, "restore", now["id"], [f"v{now['version']}"]), then)
        return Step(file_id, UNDELETED, shown, then, change, differs, heir, now["version"])
    if not differs:
        return Step(file_id, UNCHANGED, shown, then, None, [], heir, now["version"])
    change = _as_then(change_of(request, "update", now["id"], [f"v{now['version']}"]), then)
    return Step(file_id, CHANGED, shown, then, change, differs, heir, now["version"])


def _newer(request: GatewayRequest, compared: Compared, shown: StoredFile, trash_newer: bool) -> Step:
    """A file that was not there then, or lay in the trash."""
    now = compared["now"]
    if now is None or now["deleted_at"] is not None:
        return Step(compared["id"], UNCHANGED, shown, compared["then"])
    if not trash_newer or compared["made_by_restoring"]:
        return Step(compared["id"], LEFT, shown, compared["then"], version=now["version"])
    change = change_of(request, "delete", now["id"], [f"v{now['version']}"])
    return Step(compared["id"], TRASHED, shown, compared["then"], change, version=now["version"])


def _as_then(change: Change, then: StoredFile) -> Change:
    change["name"] = then["name"]
    change["folder"] = then["folder"]
    change["labels"] = then["labels"]
    change["path"] = blob_key(then["sha256"])
    change["media_type"] = then["media_type"]
    return change


def _has_content(step: Step, store: BlobStore, versions: Versions) -> bool:
    """Whether the store has what the change names: what the sweeper took is put back from the history."""
    if step.then is None or step.change is None or "path" not in step.change:
        return True
    try:
        versions.ensure(store, step.then)
    except DocsaveError as exc:
        _fail(step, exc.code, exc.detail)
        return False
    return True


def _note(step: Step, outcome: Outcome) -> None:
    file = outcome.get("file")
    if not outcome["ok"] or file is None:
        _fail(step, outcome.get("code", ""), outcome.get("detail", ""))
        return
    step.version = file["version"]
    if step.action == RECREATED:
        step.new_id = file["id"]


def _fail(step: Step, code: str, detail: str) -> None:
    step.error = {"wanted": step.action, "code": code, "detail": detail}
    step.action = FAILED


class RestoringProvider(DeadlineRpc):
    """Injects ``Restoring``."""

    def __init__(self) -> None:
        super().__init__(FILES)

    def get_dependency(self, worker_ctx: Any) -> Restoring:  # type: ignore[override] # what routes use it for
        return Restoring(super().get_dependency(worker_ctx))
