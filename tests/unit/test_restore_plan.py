"""What ``POST /restore`` asks of the files service for each pair of then and now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from docsave_services.errors import BlobMissing, Forbidden, NotFound
from docsave_services.tokens import Identity
from gateway_http.restore import Restoring
from gateway_http.schemas import RestoreOrder, validated

AT = "11111111-2222-4333-8444-555555555555:7"
KEY = "0" * 12 + "5" + "0" * 19


def file(version: int, **other: Any) -> dict[str, Any]:
    """A file of user 3 as the files service tells of it."""
    whole = {"id": 9, "user_id": 3, "name": "a", "folder": "f", "labels": {"k": "v"}, "sha256": "ab" * 32, "size": 1}
    return {**whole, "media_type": "a/b", "version": version, "deleted_at": None, **other}


def compared(then: Any, now: Any, **other: Any) -> dict[str, Any]:
    return {"id": 9, "then": then, "now": now, "recreation_key": None, "made_by_restoring": False, **other}


class Files:
    """A files service that has one page, and notes what it is asked to apply."""

    def __init__(self, *items: Any, outcome: dict[str, Any] | None = None) -> None:
        self.items = list(items)
        self.outcome = outcome or {"ok": True, "file": file(8, id=50)}
        self.asked: dict[str, Any] = {}
        self.changes: list[dict[str, Any]] = []

    def __call__(self, method: str, **arguments: Any) -> Any:
        if method == "compare":
            self.asked = arguments
            return {"items": self.items, "next": None, "at": AT}
        self.changes += arguments["changes"]
        return [self.outcome for _ in arguments["changes"]]


class Versions:
    """A history that has everything, or nothing."""

    def __init__(self, has: bool = True) -> None:
        self.has = has

    def ensure(self, store: Any, then: Any) -> None:
        if not self.has:
            raise BlobMissing


def run(files: Files, versions: Any = None, role: Any = "user", **order: Any) -> dict[str, Any]:
    identity = Identity(user_id=3, role=role, expires_at=0)
    request: Any = SimpleNamespace(identity=identity, client_address="::1", request_id="r")
    wanted = validated(RestoreOrder, {"scope": {"user": 3}, "at": AT, **order})
    return Restoring(files).run(request, wanted, None, versions or Versions())  # type: ignore[arg-type]


def test_each_change_is_for_the_version_that_was_seen() -> None:
    """Update, out of the trash, into it: ``if_match`` names the version; all of then is given."""
    cases = [
        (file(2), file(5, name="b"), "update", "changed"),
        (file(2), file(5, deleted_at="2026"), "restore", "undeleted"),
        (None, file(5), "delete", "trashed"),
        (file(4, deleted_at="2026"), file(5), "delete", "trashed"),
    ]
    for then, now, op, action in cases:
        files = Files(compared(then, now))
        assert run(files, trash_newer=True)["counts"] == {action: 1}
        [change] = files.changes
        assert (change["op"], change["file_id"], change["if_match"], change["owner"]) == (op, 9, ["v5"], 3)
        if then and not then["deleted_at"]:
            given = {key: change[key] for key in ("name", "folder", "labels", "media_type")}
            assert given == {"name": "a", "folder": "f", "labels": {"k": "v"}, "media_type": "a/b"}
            assert change["path"] == f"ab/ab/{'ab' * 32}"


def test_a_removed_file_is_made_anew_under_its_key() -> None:
    """For its owner, also when an administrator restores; its new id is told. A successor is changed like any other."""
    files = Files(compared(file(2), None, recreation_key=KEY))
    [step] = run(files, role="admin")["items"]
    assert (step["action"], step["id"], step["new_id"]) == ("recreated", 9, 50)
    [change] = files.changes
    assert (change["op"], change["user_id"], change["change_key"], change["by"]) == ("create", 3, KEY, 3)
    files = Files(compared(file(2), file(1, id=50, name="b")))
    [step] = run(files)["items"]
    assert (step["action"], step["id"], step["new_id"]) == ("changed", 9, 50)
    assert files.changes[0]["file_id"] == 50


def test_what_needs_nothing_is_not_touched() -> None:
    """The same as then; newer ones unless asked for; those that a restoration made, even then; what is gone anyway."""
    same, newer = compared(file(2), file(5)), compared(None, file(5))
    own = compared(None, file(1), made_by_restoring=True)
    gone = compared(file(2, deleted_at="2026"), None)
    files = Files(same, newer, own, gone)
    assert run(files)["counts"] == {"unchanged": 2, "left": 2}
    assert run(Files(own), trash_newer=True)["counts"] == {"left": 1}
    assert files.changes == []


def test_a_plan_changes_nothing() -> None:
    """A dry run asks for no change, and neither for content."""
    files = Files(compared(file(2), file(5, name="b")), compared(file(2), None))
    assert run(files, Versions(has=False), dry_run=True)["counts"] == {"changed": 1, "recreated": 1}
    assert files.changes == []


def test_a_refusal_is_told_with_what_was_wanted() -> None:
    """Somebody was faster, or nobody has the content: the step failed, with the code."""
    refusal = {"ok": False, "code": "precondition_failed", "detail": "no", "errors": []}
    item = compared(file(2), file(5, name="b"))
    for files, versions, code in (
        (Files(item, outcome=refusal), Versions(), "precondition_failed"),
        (Files(item), Versions(has=False), "blob_missing"),
    ):
        answer = run(files, versions)
        assert answer["counts"] == {"failed": 1}
        error = answer["items"][0]["error"]
        assert (error["wanted"], error["code"]) == ("changed", code)


def test_whose_files_may_be_restored() -> None:
    """One's own by default; a folder is the caller's own; others' and all only for administrators."""
    cases = [
        ({"user": 3}, {"user_id": 3}),
        ({"folder": "f"}, {"user_id": 3, "folder": "f"}),
        ({"file": 9}, {"user_id": 3, "file_id": 9}),
    ]
    for scope, expected in cases:
        files = Files(compared(file(2), file(2)))
        run(files, scope=scope)
        assert expected.items() <= files.asked.items()
    for scope in ("all", {"user": 4}, {"user": 4, "folder": "f"}):
        with pytest.raises(Forbidden):
            run(Files(), scope=scope)
        run(Files(), scope=scope, role="admin")
    with pytest.raises(NotFound):
        run(Files(), scope={"file": 9})
