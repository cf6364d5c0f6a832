"""Readiness: in time whatever hangs, and one open question a part."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import eventlet
import pytest

from docsave_services.errors import DatabaseUnavailable, RpcTimeout, Unavailable
from gateway_http import readiness as readiness_module
from gateway_http.limits import READY_SECONDS
from gateway_http.readiness import Readiness, ReadinessProvider, check_backup_directory, check_blobs


def refuse(error: Exception) -> Any:
    def ask() -> None:
        raise error

    return ask


def checks(readiness: Readiness) -> dict[str, Any]:
    return dict(json.loads(readiness.report().get_data())["checks"])


def test_what_hangs_does_not_delay_the_answer() -> None:
    """Three parts that never say anything cost the time of one; the others are shown as they are."""
    hang = lambda: eventlet.sleep(60)  # noqa: E731
    readiness = Readiness({"a": hang, "b": hang, "c": hang, "fine": lambda: None, "ill": refuse(Unavailable("rust"))})
    started = time.monotonic()
    found = checks(readiness)
    assert time.monotonic() - started < READY_SECONDS + 0.5
    assert {found[name]["detail"] for name in "abc"} == {"does not answer in time"}
    assert found["fine"] == {"status": "ok"}
    assert found["ill"] == {"status": "failed", "detail": "rust"}


def test_a_part_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions do not pile up; when it answers at last it is asked anew."""
    monkeypatch.setattr("gateway_http.readiness.READY_SECONDS", 0.05)
    asked: list[eventlet.Event] = []

    def ask() -> None:
        asked.append(eventlet.Event())
        asked[-1].wait()

    readiness = Readiness({"slow": ask})
    for _ in range(3):
        assert readiness.report().status_code == 503
    assert len(asked) == 1
    asked[0].send()
    eventlet.sleep(0)
    readiness.report()
    assert len(asked) == 2


def test_a_surprise_is_no_traceback() -> None:
    """Whatever a check raises, the answer says only that the part does not answer."""
    assert checks(Readiness({"x": refuse(ZeroDivisionError("/secret"))}))["x"]["detail"] == "does not answer"


def test_the_database_is_told_from_its_services() -> None:
    """A service that only lacks its database is fine; when no service says anything nobody knows."""
    lives = Readiness({"users": refuse(DatabaseUnavailable()), "files": lambda: None, "webhooks": lambda: None})
    assert checks(lives)["users"]["status"] == "ok"
    assert checks(lives)["database"]["detail"] == "does not answer"
    gone = Readiness(dict.fromkeys(("users", "files", "webhooks"), refuse(RpcTimeout())))
    assert checks(gone)["database"]["detail"].startswith("unknown")


def test_the_blob_store_must_take_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that is missing, read-only or on a full disk is said to be so, without its path."""
    check_blobs(tmp_path)
    with pytest.raises(Unavailable, match="not there") as caught:
        check_blobs(tmp_path / "gone")
    assert str(tmp_path) not in caught.value.detail
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(Unavailable, match="cannot be written"):
            check_blobs(tmp_path)
    monkeypatch.setattr("gateway_http.readiness.READY_FREE_BYTES_MIN", 2**62)
    with pytest.raises(Unavailable, match="full"):
        check_blobs(tmp_path)


def test_the_backup_directory_must_be_there(tmp_path: Path) -> None:
    """Earlier versions are sent from it."""
    check_backup_directory(tmp_path)
    with pytest.raises(Unavailable, match="not there"):
        check_backup_directory(tmp_path / "gone")


@pytest.mark.parametrize("fresh", [True, False])
def test_a_gateway_that_lets_nobody_in_is_not_ready(monkeypatch: pytest.MonkeyPatch, fresh: bool) -> None:
    """After a long break every part answers again, but requests are refused until the revocations have been read:
    `make soak FAULT=bus-cut-long` found 200 here and 503 for all work."""
    known = SimpleNamespace(revocations=SimpleNamespace(view=SimpleNamespace(is_fresh=fresh)))
    monkeypatch.setattr(readiness_module, "credentials_of", lambda container: known)
    provider = ReadinessProvider()
    monkeypatch.setattr(provider, "_health_of", lambda service: lambda: {"database": "ok"})
    provider.container = None
    report = Readiness({"users": provider._ask_users, "files": lambda: None}).report()
    assert report.status_code == (200 if fresh else 503)
