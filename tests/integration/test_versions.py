"""Versions over HTTP: the gateway, the services and the backup as processes, on SQLite and a real broker."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eventlet
import pytest

from tests.integration.archive import Archive
from tests.integration.gateway_process import problem_of
from tests.support.programs import ROOT
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

CALLS = [("GET", ""), ("GET", "/1/content"), ("HEAD", "/1/content"), ("GET", "/1/proof"), ("POST", "/1/restore")]


@pytest.fixture(scope="module")
def archive(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    archive = Archive(broker, tmp_path_factory.mktemp("archive"))
    yield archive
    archive.stop()


@pytest.fixture
def plan(archive: Archive) -> dict[str, Any]:
    """A file in a folder with a label, in its third version: ``one``, ``two`` and then another name and place."""
    file = archive.save("plan.txt", b"one")
    archive.replace(file, b"two!")
    file = archive.rpc(
        "files", "update", file_id=file["id"], name="Plan é.txt", folder="Offers", labels={"crm.deal": "42"}
    )
    archive.wait_copied(file, 3)
    return file


def path_of(file: dict[str, Any], rest: str = "") -> str:
    return f"/files/{file['id']}/versions{rest}"


def test_every_version_is_listed_and_downloads_as_it_was(archive: Archive, plan: dict[str, Any]) -> None:
    """Newest first, with name, place and labels of that time; each version's bytes under its own name and hash."""
    page = archive.ask("GET", path_of(plan)).json()
    assert page["next"] is None
    told = [(v["version"], v["event"], v["name"], v["size"], v["folder"], v["labels"]) for v in page["items"]]
    assert told == [
        (3, "File_update", "Plan é.txt", 4, "Offers", {"crm.deal": "42"}),
        (2, "File_update", "plan.txt", 4, "", {}),
        (1, "File_create", "plan.txt", 3, "", {}),
    ]
    assert [(v["by"], v["permanent"]) for v in page["items"][1:]] == [(archive.anna, False)] * 2
    assert not {"path", "user_id"} & page["items"][0].keys()
    for version, content in zip(page["items"], (b"two!", b"two!", b"one"), strict=True):
        answer = archive.ask("GET", path_of(plan, f"/{version['version']}/content"))
        assert (answer.status_code, answer.content) == (200, content)
        assert version["sha256"] == hashlib.sha256(content).hexdigest()
        assert answer.headers["ETag"] == f'"{version["sha256"]}"'
        assert answer.headers["Content-Type"] == version["media_type"]
        assert version["name"].split()[0] in answer.headers["Content-Disposition"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    first = archive.ask("GET", path_of(plan, "?limit=2")).json()
    rest = archive.ask("GET", path_of(plan, f"?limit=2&after={first['next']}")).json()
    assert [v["version"] for v in first["items"] + rest["items"]] == [3, 2, 1]
    assert rest["next"] is None


def test_a_version_is_downloaded_as_any_content(archive: Archive, plan: dict[str, Any]) -> None:
    """HEAD, parts, and nothing to a client that has it already."""
    where = path_of(plan, "/1/content")
    head = archive.ask("HEAD", where)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "3", b"")
    part = archive.ask("GET", where, headers={"Range": "bytes=1-"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"ne", "bytes 1-2/3")
    problem_of(archive.ask("GET", where, headers={"Range": "bytes=9-"}), 416, "range_not_satisfiable")
    tag = head.headers["ETag"]
    assert archive.ask("GET", where, headers={"If-None-Match": tag}).status_code == 304
    stale = archive.ask("GET", where, headers={"Range": "bytes=1-", "If-Range": f'"{plan["sha256"]}"'})
    assert (stale.status_code, stale.content) == (200, b"one")


def test_a_large_version_is_whole(archive: Archive) -> None:
    """Several pieces, byte for byte, after the file has other content; and back from it, without its blob."""
    content = bytes(range(256)) * 12_345
    file = archive.save("large.bin", content)
    archive.replace(file, b"small")
    archive.wait_copied(file, 2)
    assert archive.ask("GET", path_of(file, "/1/content")).content == content
    archive.blob(content).unlink()
    assert archive.ask("POST", path_of(file, "/1/restore")).json()["version"] == 3
    assert archive.ask("GET", f"/files/{file['id']}/content").content == content


def test_restoring_brings_back_everything_of_a_version(archive: Archive, plan: dict[str, Any]) -> None:
    """Content whose blob was swept, name, folder and labels, as one new version; the same once more is none."""
    for content in (b"one", b"two!"):
        archive.blob(content).unlink()
    restored = archive.ask("POST", path_of(plan, "/1/restore"))
    assert restored.status_code == 200, restored.text
    file = restored.json()
    told = (file["version"], file["name"], file["folder"], file["labels"], file["size"])
    assert told == (4, "plan.txt", "", {}, 3)
    assert restored.headers["ETag"] == f'"{file["sha256"]}"'
    assert archive.ask("GET", f"/files/{plan['id']}/content").content == b"one"
    assert archive.blob(b"one").read_bytes() == b"one"
    again = archive.ask("POST", path_of(plan, "/1/restore"))
    assert (again.status_code, again.json()["version"]) == (200, 4)
    back = archive.ask("POST", path_of(plan, "/3/restore")).json()
    assert (back["version"], back["name"], back["folder"]) == (5, "Plan é.txt", "Offers")
    assert back["labels"] == {"crm.deal": "42"}
    archive.wait_copied(file, 5)
    items = archive.ask("GET", path_of(plan)).json()["items"]
    assert [v["version"] for v in items] == [5, 4, 3, 2, 1]
    assert archive.ask("GET", path_of(plan, "/5/content")).content == b"two!"


def test_restoring_honours_if_match(archive: Archive, plan: dict[str, Any]) -> None:
    """For another version than the current one nothing happens: no version, and no bytes are fetched."""
    archive.blob(b"one").unlink()
    for tag in ('"v2"', f'W/"{plan["sha256"]}"'):
        answer = archive.ask("POST", path_of(plan, "/1/restore"), headers={"If-Match": tag})
        problem_of(answer, 412, "precondition_failed")
    assert not archive.blob(b"one").exists()
    assert archive.ask("GET", f"/files/{plan['id']}").json()["version"] == 3
    answer = archive.ask("POST", path_of(plan, "/1/restore"), headers={"If-Match": f'"{plan["sha256"]}"'})
    assert (answer.status_code, answer.json()["version"]) == (200, 4)


def test_restoring_again_with_the_same_key_answers_the_same(archive: Archive, plan: dict[str, Any]) -> None:
    """Also out of the trash, where the repetition finds the file in another state; another version is refused."""
    archive.ask("DELETE", f"/files/{plan['id']}")
    headers = {"Idempotency-Key": f"again {plan['id']}", "If-Match": '"v4"'}
    first, again = (archive.ask("POST", path_of(plan, "/1/restore"), headers=headers) for _ in range(2))
    assert (first.status_code, first.json()["version"]) == (200, 5)
    assert (again.status_code, again.json()["version"]) == (200, 5)
    other = archive.ask("POST", path_of(plan, "/3/restore"), headers=headers)
    problem_of(other, 422, "idempotency_key_reused")
    assert archive.ask("GET", f"/files/{plan['id']}").json()["version"] == 5


def test_a_file_in_the_trash_has_its_versions_and_comes_back_as_one(archive: Archive, plan: dict[str, Any]) -> None:
    """Listed and sent as before; the deletion has no content; restoring a version takes the file out of the trash."""
    assert archive.ask("DELETE", f"/files/{plan['id']}").status_code == 204
    archive.wait_copied(plan, 4)
    items = archive.ask("GET", path_of(plan)).json()["items"]
    assert [(v["version"], v["event"], v["permanent"]) for v in items[:2]] == [
        (4, "File_delete", False),
        (3, "File_update", False),
    ]
    assert archive.ask("GET", path_of(plan, "/1/content")).content == b"one"
    for method, rest in [("GET", "/4/content"), ("POST", "/4/restore")]:
        assert "deletion" in problem_of(archive.ask(method, path_of(plan, rest)), 404, "not_found")["detail"]
    restored = archive.ask("POST", path_of(plan, "/2/restore")).json()
    assert (restored["version"], restored["deleted_at"], restored["name"]) == (5, None, "plan.txt")
    assert archive.ask("GET", f"/files/{plan['id']}/content").content == b"two!"
    archive.wait_copied(plan, 5)
    assert archive.ask("GET", path_of(plan)).json()["items"][0]["event"] == "File_create"


def test_a_removal_for_good_leaves_a_tombstone_and_the_copies(archive: Archive, plan: dict[str, Any]) -> None:
    """Over HTTP there is nothing any more, not for the administrator either; the directory keeps everything."""
    copies = [archive.copy(plan, version) for version in (1, 2, 3)]
    archive.rpc("files", "remove", file_id=plan["id"], by=archive.anna)
    archive.wait_copied(plan, 4)
    event = json.loads(archive.entry(plan, 4).read_bytes())
    assert (event["type"], event["permanent"], event["labels"]) == ("File_delete", True, {"crm.deal": "42"})
    assert [path.read_bytes() for path in copies] == [b"one", b"two!", b"two!"]
    for method, rest in CALLS:
        for by in (archive.anna, archive.admin):
            assert archive.ask(method, path_of(plan, rest), by).status_code == 404
    items = archive.rpc("backup", "versions", file_id=plan["id"])["items"]
    assert [v["version"] for v in items] == [4, 3, 2, 1]
    assert items[0]["permanent"] is True


def test_a_proof_is_checked_without_the_server(archive: Archive, plan: dict[str, Any], tmp_path: Path) -> None:
    """Also by who keeps an earlier head, and of a deletion; it comes a moment after the copy."""
    path = path_of(plan, "/2/proof")
    wait_until(lambda: archive.ask("GET", path).status_code == 200, 10)
    proof = archive.ask("GET", path).json()
    (tmp_path / "file").write_bytes(archive.ask("GET", path_of(plan, "/2/content")).content)
    earlier = archive.ask("GET", f"{path}?size={proof['index'] + 1}", archive.admin).json()
    for given in (proof, earlier):
        (tmp_path / "proof").write_text(json.dumps(given))
        head = f"{given['size']}:{given['root']}"
        script = [str(ROOT / "docs/examples/verify_proof.py"), "file", "proof", "--head", head]
        done = subprocess.run([sys.executable, *script], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert f"head: {head}" in done.stdout
    assert (proof["entry"]["version"], proof["entry"]["id"]) == (2, plan["id"])
    problem_of(archive.ask("GET", f"{path}?size={proof['size'] + 1000}"), 422, "invalid_input")
    problem_of(archive.ask("GET", f"{path}?size=0"), 422, "invalid_input")
    problem_of(archive.ask("GET", path_of(plan, "/99/proof")), 404, "not_found")
    archive.ask("DELETE", f"/files/{plan['id']}")
    wait_until(lambda: archive.ask("GET", path_of(plan, "/4/proof")).status_code == 200, 10)
    assert archive.ask("GET", path_of(plan, "/4/proof")).json()["entry"]["type"] == "File_delete"


def test_only_the_owner_and_an_administrator_see_versions(archive: Archive, plan: dict[str, Any]) -> None:
    """For anybody else the file does not exist, in the trash or not, and nothing happens to it."""
    for _ in range(2):
        for method, rest in CALLS:
            assert archive.ask(method, path_of(plan, rest), archive.boris).status_code == 404
        problem_of(archive.ask("GET", path_of(plan), archive.boris), 404, "not_found")
        assert archive.ask("GET", path_of(plan, "/1/content"), archive.admin).content == b"one"
        archive.ask("DELETE", f"/files/{plan['id']}")
    assert archive.ask("POST", path_of(plan, "/1/restore"), archive.admin).json()["user_id"] == archive.anna
    archive.wait_copied(plan, 5)
    assert archive.ask("GET", path_of(plan)).json()["items"][0]["by"] == archive.admin
    problem_of(archive.gateway.get(path_of(plan)), 401, "unauthenticated")


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), str(10**17), "1.0", "01", "true", "%00", "1%2F2"])
def test_a_number_that_is_none_of_a_version(archive: Archive, plan: dict[str, Any], number: str) -> None:
    """404, for a file's number too."""
    for method, rest in [("GET", f"/{number}/content"), ("POST", f"/{number}/restore")]:
        assert archive.ask(method, path_of(plan, rest)).status_code == 404
    assert archive.ask("GET", f"/files/{number}/versions").status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=0", "after=1.0", f"after={2**63}", "a=1"])
def test_a_query_that_cannot_be_meant(archive: Archive, plan: dict[str, Any], query: str) -> None:
    """422 that names the field."""
    problem = problem_of(archive.ask("GET", path_of(plan, f"?{query}")), 422, "invalid_input")
    assert problem["errors"][0]["field"] == query.partition("=")[0]


def test_a_damaged_copy_is_an_error_and_changes_nothing(archive: Archive, plan: dict[str, Any]) -> None:
    """Wrong bytes, another length, no bytes at all: never sent as the version, never made the current one."""
    content = b"unlike any other"
    file = archive.save("rare.txt", content)
    archive.replace(file, b"then this")
    archive.wait_copied(file, 2)
    copy = archive.copy(file, 1)
    archive.blob(content).unlink()
    copy.chmod(0o644)
    for damage in (b"unlike any othe!", b"short", None):
        copy.write_bytes(damage) if damage else copy.unlink()
        for method, rest in [("GET", "/1/content"), ("POST", "/1/restore")]:
            problem_of(archive.ask(method, path_of(file, rest)), 500, "blob_damaged")
    assert archive.ask("GET", f"/files/{file['id']}").json()["version"] == 2
    assert not archive.blob(content).exists()
    assert archive.gateway.staged() == []


def test_without_its_directory_only_versions_are_unavailable(archive: Archive, plan: dict[str, Any]) -> None:
    """A disk that is not mounted: 503 for these calls, as soon as it is back they work."""
    disk = archive.root.with_name("disk")
    archive.root.rename(disk)
    archive.root.mkdir()
    try:
        for method, rest in CALLS:
            answer = archive.ask(method, path_of(plan, rest))
            assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        problem_of(archive.ask("GET", path_of(plan)), 503, "unavailable")
        assert archive.ask("GET", f"/files/{plan['id']}/content").content == b"two!"
    finally:
        archive.root.rmdir()
        disk.rename(archive.root)
    assert archive.ask("GET", path_of(plan, "/1/content")).content == b"one"


def test_without_the_backup_everything_else_goes_on(archive: Archive, plan: dict[str, Any]) -> None:
    """503 while it is away. What was saved meanwhile is a version once it is copied, and says so until then."""
    archive.stop_backup()
    try:
        # Each waits for its deadline: at the same time.
        answers = eventlet.GreenPool().imap(lambda call: archive.ask(call[0], path_of(plan, call[1])), CALLS)
        for (method, _), answer in zip(CALLS, answers, strict=True):
            assert answer.status_code == 503
            assert method == "HEAD" or problem_of(answer, 503, "unavailable")
        file = archive.save("late.txt", b"saved while it was away")
        assert archive.ask("GET", f"/files/{plan['id']}/content").content == b"two!"
        blob = archive.blob(b"saved while it was away")
        aside = blob.rename(blob.with_name("aside"))
    finally:
        archive.start_backup()
    wait_until(lambda: archive.rpc("backup", "status")["failing"])
    assert archive.ask("GET", path_of(file)).json() == {"items": [], "next": None}
    for rest in ("/1/content", "/2/content"):
        problem = problem_of(archive.ask("GET", path_of(file, rest)), 404, "not_found")
        assert ("not in the backup yet" in problem["detail"]) is (rest == "/1/content")
    aside.rename(blob)
    archive.wait_copied(file, 1)
    assert archive.ask("GET", path_of(file, "/1/content")).content == b"saved while it was away"


def test_administrators_hold_files_and_versions(archive: Archive) -> None:
    """A hold is placed once, listed, and ended; it stays on record. Users may not, and what is not there cannot be."""
    file = archive.save("contract.pdf", b"signed")
    archive.wait_copied(file, 1)
    path, wanted = f"/files/{file['id']}", {"reason": "lawsuit 12/2026"}
    assert archive.ask("PUT", f"{path}/hold", json=wanted).status_code == 403
    for where, version in ((f"{path}/hold", None), (f"{path}/versions/1/hold", 1)):
        answers = [archive.ask("PUT", where, by=archive.admin, json=wanted) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json() == answers[1].json()
        assert (answers[0].json()["version"], answers[0].json()["by"]) == (version, archive.admin)
    assert archive.ask("PUT", f"{path}/hold", by=archive.admin, json={"reason": " "}).status_code == 422
    assert archive.ask("PUT", f"{path}/versions/9/hold", by=archive.admin, json=wanted).status_code == 404
    assert _held(archive, file) == [None, 1]
    assert archive.ask("DELETE", f"{path}/hold", by=archive.admin).status_code == 204
    assert archive.ask("DELETE", f"{path}/hold", by=archive.admin).status_code == 404
    assert _held(archive, file) == [1]
    assert _held(archive, file, "?released=true") == [None, 1]
    trail = archive.ask("GET", f"/audit?user_id={archive.anna}&limit=3", by=archive.admin).json()["items"]
    assert [(line["action"], line["by"], line["detail"]) for line in trail] == [
        ("hold_released", archive.admin, {"file": file["id"], "version": None}),
        ("hold_placed", archive.admin, {"file": file["id"], "version": 1, "reason": "lawsuit 12/2026"}),
        ("hold_placed", archive.admin, {"file": file["id"], "version": None, "reason": "lawsuit 12/2026"}),
    ]


def test_what_is_held_is_not_removed_for_good(archive: Archive) -> None:
    """By nobody, from wherever, until the last hold is over; into the trash it goes. What was done by half is ended."""
    file = archive.save("contract.pdf", b"signed twice")
    archive.wait_copied(file, 1)
    path, wanted = f"/files/{file['id']}", {"reason": "lawsuit 13/2026"}
    for where in (f"{path}/hold", f"{path}/versions/1/hold"):
        assert archive.ask("PUT", where, by=archive.admin, json=wanted).status_code == 200
    assert archive.ask("DELETE", path).status_code == 204
    for by in (archive.anna, archive.admin):
        problem_of(archive.ask("DELETE", f"{path}?permanent=true", by=by), 409, "on_hold")
    assert archive.ask("POST", f"{path}/restore").status_code == 200
    assert archive.ask("DELETE", f"{path}/hold", by=archive.admin).status_code == 204
    problem_of(archive.ask("DELETE", f"{path}?permanent=true"), 409, "on_hold")
    archive.rpc("backup", "release", file_id=file["id"], version=1, by=archive.admin)  # and then the caller was lost
    problem_of(archive.ask("DELETE", f"{path}?permanent=true"), 409, "on_hold")
    assert archive.ask("DELETE", f"{path}/versions/1/hold", by=archive.admin).status_code == 204
    assert archive.ask("DELETE", f"{path}?permanent=true").status_code == 204


def _held(archive: Archive, file: dict[str, Any], query: str = "") -> list[int | None]:
    items = archive.ask("GET", f"/holds{query}", by=archive.admin).json()["items"]
    return [hold["version"] for hold in items if hold["file_id"] == file["id"]]
