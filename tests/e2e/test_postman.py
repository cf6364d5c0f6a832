"""The Postman collection, run by newman against the live system."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway
from gateway_http.openapi import document
from postman import make
from tests.support.programs import ROOT
from tests.support.system import System

pytestmark = pytest.mark.process

POSTMAN = ROOT / "postman"
RUN_SECONDS = 180


def test_every_request_of_the_collection_passes(system: System, tmp_path: Path) -> None:
    """newman runs all requests from top to bottom, each looks at its answer, and no assertion fails."""
    report = _newman(system, tmp_path / "report.json")
    assert report["failures"] == [], [_told(failure) for failure in report["failures"]]
    # One that asks until the backup is as far comes several times in a row.
    ran = [name for name, _ in itertools.groupby(execution["item"]["name"] for execution in report["executions"])]
    assert ran == [item["name"] for item in _requests(_collection())]
    assert all(execution.get("assertions") for execution in report["executions"])


def test_again_without_an_administrator_and_with_a_wrong_expectation(system: System, tmp_path: Path) -> None:
    """On the system where it ran already: what needs an administrator's password is skipped, everything else is called,
    and what is asserted is looked at: with another expected hash the requests fail that look at it, and none before."""
    collection = _collection()
    (expected,) = (variable for variable in collection["variable"] if variable["key"] == "offer_sha256")
    expected["value"] = "0" * 64
    names = [item["name"] for item in _requests(collection)]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(collection), encoding="utf-8")
    report = _newman(system, tmp_path / "report.json", changed, as_admin=False)
    failed = {failure["source"]["name"] for failure in report["failures"]}
    assert failed >= {"Save a document (form)", "About the document", "Download", "Only the headers of a download"}
    assert failed.isdisjoint(names[: names.index("Save a document (form)")])
    called = {execution["item"]["name"] for execution in report["executions"] if execution.get("response")}
    assert "Read the audit trail as a user (403)" in called
    assert called.isdisjoint({"Log in as the administrator", "Disable the account", "The audit trail"})


def test_collection_and_environment_are_what_the_document_and_the_walk_make() -> None:
    """`make postman` brings both up to date. A call of the document that the walk does not show stops it."""
    for path, content in make.files().items():
        assert path.read_text(encoding="utf-8") == content, path.name


def test_a_step_that_the_document_does_not_know_is_refused() -> None:
    """A call, a field or an answer that is not in the document is a mistake of the walk."""
    maker = make.Maker(document(Gateway))
    step = {"name": "a", "call": "get_me", "why": "b", "expect": 200}
    assert maker.item(step)["request"]["url"]["raw"] == "{{base_url}}/users/me"
    for wrong in ({"call": "fly"}, {"query": {"a": "b"}}, {"headers": {"If-Match": "*"}}, {"expect": 201},
                  {"expect": "404 not_found"}, {"expect": "401 forbidden"}):  # fmt: skip
        with pytest.raises(make.WrongStep):
            maker.item({**step, **wrong})


def test_every_request_says_what_it_is_for_and_checks_its_answer() -> None:
    """Each has a description and a test of its own, and no name is used twice."""
    requests = _requests(_collection())
    for item in requests:
        assert item["request"]["description"], item["name"]
        assert any(event["listen"] == "test" for event in item["event"]), item["name"]
    names = [item["name"] for item in requests]
    assert sorted(set(names)) == sorted(names)


def test_the_collection_describes_every_socket_event() -> None:
    """The names of CONTRACT section 5 that this version knows stand in the collection."""
    text = json.dumps(_collection())
    what = ("create", "update", "delete")
    wanted = [
        "User_connect",
        "Admin_connect",
        *(f"File_{w}" for w in what),
        *(f"Notify_File_{w}" for w in what),
        "Notify_File_protected",
    ]
    assert [name for name in wanted if name not in text] == []


def test_every_variable_is_declared() -> None:
    """A person who imports both files finds no variable that has no value and is set by no script; no secret either."""
    text = json.dumps(_collection())
    declared = {variable["key"] for variable in _environment()["values"]}
    declared |= {variable["key"] for variable in _collection()["variable"]}
    set_by_scripts = set(re.findall(r'\.set\(\\"(\w+)\\"', text))
    assert set(re.findall(r"\{\{(\w+)\}\}", text)) <= declared | set_by_scripts
    assert [v["key"] for v in _environment()["values"] if v["value"]] == ["base_url", "socket_url"]


def _newman(system: System, report: Path, collection: Path | None = None, as_admin: bool = True) -> dict[str, Any]:
    """Run the collection; newman's own report."""
    values = {"base_url": system.base_url, "socket_url": system.socket_url}
    values |= {"admin_password": system.admin_password} if as_admin else {}
    command = [_newman_program(), "run", str(collection or POSTMAN / "docsave.postman_collection.json")]
    command += ["--environment", "docsave.postman_environment.json", "--working-dir", "."]
    for name, value in values.items():
        command += ["--env-var", f"{name}={value}"]
    command += ["--timeout-request", "30000", "--reporters", "json", "--reporter-json-export", str(report)]
    done = subprocess.run(command, cwd=POSTMAN, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert report.exists(), f"newman wrote no report:\n{done.stdout}{done.stderr}"
    run: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["run"]
    assert (done.returncode == 0) == (run["failures"] == []), done.stdout + done.stderr
    return run


def _newman_program() -> str:
    found = shutil.which("newman", path=str(ROOT / "node_modules" / ".bin")) or shutil.which("newman")
    assert found, "newman is not installed: run `npm ci` (`make test` does)"
    return found


def _told(failure: dict[str, Any]) -> str:
    return f"{failure['source'].get('name')}: {failure['error'].get('test')}: {failure['error'].get('message')}"


def _collection() -> dict[str, Any]:
    text = (POSTMAN / "docsave.postman_collection.json").read_text(encoding="utf-8")
    collection: dict[str, Any] = json.loads(text)
    return collection


def _environment() -> dict[str, Any]:
    text = (POSTMAN / "docsave.postman_environment.json").read_text(encoding="utf-8")
    environment: dict[str, Any] = json.loads(text)
    return environment


def _requests(folder: dict[str, Any]) -> list[dict[str, Any]]:
    return list(_walk(folder))


def _walk(folder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in folder["item"]:
        if "request" in item:
            yield item
        else:
            yield from _walk(item)
