"""The Postman collection, run by newman against the live system."""

from __future__ import annotations

import hashlib
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
from gateway_http.route import HttpRoute
from tests.support.programs import ROOT
from tests.support.system import System

pytestmark = pytest.mark.process

POSTMAN = ROOT / "postman"
RUN_SECONDS = 180


def test_every_request_of_the_collection_passes_twice_in_a_row(system: System, tmp_path: Path) -> None:
    """newman runs all requests from top to bottom with no failed assertion, and again on the same system."""
    for number in (1, 2):
        report = _newman(system, tmp_path / f"report{number}.json")
        assert report["failures"] == [], [_told(failure) for failure in report["failures"]]
        # One that asks until the backup is as far comes several times in a row.
        ran = [name for name, _ in itertools.groupby(execution["item"]["name"] for execution in report["executions"])]
        assert ran == [item["name"] for item in _requests(_collection())]
        assert all(execution.get("assertions") for execution in report["executions"])


def test_a_wrong_answer_makes_the_run_fail(system: System, tmp_path: Path) -> None:
    """What is asserted is looked at: with another expected hash the run fails where that file is saved and read."""
    collection = _collection()
    (expected,) = (variable for variable in collection["variable"] if variable["key"] == "offer_sha256")
    expected["value"] = "0" * 64
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(collection), encoding="utf-8")
    failed = {failure["source"]["name"] for failure in _newman(system, tmp_path / "report.json", changed)["failures"]}
    assert failed >= {"Save a document (form)", "About the document", "Download", "Only the headers of a download"}
    assert "Save a document (raw body)" not in failed


def test_without_an_administrators_password_the_rest_passes(system: System, tmp_path: Path) -> None:
    """Who has none may run the collection too: what needs it is skipped, nothing fails, every route is called."""
    report = _newman(system, tmp_path / "report.json", as_admin=False)
    assert report["failures"] == [], [_told(failure) for failure in report["failures"]]
    called = {execution["item"]["name"] for execution in report["executions"] if execution.get("response")}
    assert "Read the audit trail as a user (403)" in called
    assert called.isdisjoint({"Log in as the administrator", "Disable the account", "The audit trail"})


def test_the_collection_has_every_route_of_the_gateway() -> None:
    """Each method and path that gateway.py declares, and HEAD of the content, is called at least once."""
    called = {(item["request"]["method"], _path(item)) for item in _requests(_collection())}
    routes = {(route.method, re.sub(r"<\w+:(\w+)>", r"{{\1}}", route.url)) for route in _routes()}
    assert len(routes) >= 13
    assert routes | {("HEAD", "/files/{{file_id}}/content")} <= called


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


def test_expected_hashes_and_sizes_are_those_of_the_sample_files() -> None:
    """The collection's variables tell the truth about the files that it uploads."""
    said = {variable["key"]: variable["value"] for variable in _collection()["variable"]}
    for prefix, name in (("offer", "offer.txt"), ("signed", "offer-signed.txt")):
        content = (POSTMAN / "files" / name).read_bytes()
        assert said[f"{prefix}_sha256"] == hashlib.sha256(content).hexdigest()
        assert said[f"{prefix}_size"] == str(len(content))


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


def _path(item: dict[str, Any]) -> str:
    raw: str = item["request"]["url"]["raw"]
    return raw.removeprefix("{{base_url}}").partition("?")[0]


def _routes() -> list[HttpRoute]:
    """The routes as Nameko sees them: the entrypoints of the service's methods."""
    entrypoints = (getattr(getattr(Gateway, name), "nameko_entrypoints", ()) for name in dir(Gateway))
    return [route for found in entrypoints for route in found if isinstance(route, HttpRoute)]
