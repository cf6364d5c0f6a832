"""The past and restoring over HTTP: the gateway, the services and the backup as processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.archive import Archive
from tests.integration.gateway_process import problem_of
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

JANUARY = "2020-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def archive(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    archive = Archive(broker, tmp_path_factory.mktemp("archive"))
    yield archive
    archive.stop()


@pytest.fixture
def person(archive: Archive) -> int:
    """Somebody new, so that tests do not see each other's files."""
    person = archive.rpc("users", "create", login=f"person-{archive.next_number()}", password="correct horse 1")
    return int(person["id"])


def save(archive: Archive, person: int, name: str, content: bytes, folder: str = "") -> dict[str, Any]:
    answer = archive.ask("POST", "/files", person, params={"name": name, "folder": folder}, data=content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def here(archive: Archive) -> str:
    return str(archive.rpc("files", "head")["cursor"])


def restore(archive: Archive, person: int, scope: Any, at: str, **order: Any) -> dict[str, Any]:
    answer = archive.ask("POST", "/restore", person, json={"scope": scope, "at": at, **order})
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(archive: Archive, person: int, **query: Any) -> list[tuple[str, str, str]]:
    answer = archive.ask("GET", "/files", person, params=query)
    assert answer.status_code == 200, answer.text
    return [(f["name"], f["folder"], f["sha256"]) for f in answer.json()["items"]]


def test_the_past_is_listed_and_downloads(archive: Archive, person: int) -> None:
    """A list, a file and its bytes as of a cursor or a moment; what is not in the store comes from the backup."""
    file = save(archive, person, "a.txt", b"one", "x")
    at = here(archive)
    assert archive.ask("PUT", f"/files/{file['id']}/content", person, data=b"two").ok
    archive.wait_copied(file, 2)
    archive.blob(b"one").unlink(missing_ok=True)
    wait_until(lambda: archive.ask("GET", f"/files/{file['id']}", person).json()["backup"]["version"] == 2, 10)
    page = archive.ask("GET", "/files", person, params={"at": at}).json()
    assert page["at"] == at
    [then] = page["items"]
    assert then["backup"] == {"state": "protected", "version": 1}
    assert (then["version"], then["sha256"], "path" in then) == (1, file["sha256"], False)
    for moment in (at, then["updated_at"]):
        one = archive.ask("GET", f"/files/{file['id']}", person, params={"at": moment})
        assert one.json() == then
        content = archive.ask("GET", f"/files/{file['id']}/content", person, params={"at": moment})
        assert (content.status_code, content.content) == (200, b"one")
    assert archive.ask("GET", f"/files/{file['id']}/content", person).content == b"two"
    for path in ("", "/content"):
        assert archive.ask("GET", f"/files/{file['id']}{path}", person, params={"at": JANUARY}).status_code == 404
        assert archive.ask("GET", f"/files/{file['id']}{path}", archive.boris, params={"at": at}).status_code == 404
        assert archive.ask("GET", f"/files/{file['id']}{path}", archive.admin, params={"at": at}).status_code == 200
    assert archive.ask("DELETE", f"/files/{file['id']}?permanent=true", person).status_code == 204
    assert archive.ask("GET", f"/files/{file['id']}/content", person, params={"at": at}).content == b"one"
    assert archive.ask("GET", f"/files/{file['id']}/content", person, params={"at": here(archive)}).status_code == 404


def test_filters_without_an_index_in_the_past_are_named(archive: Archive, person: int) -> None:
    """422 that says which; a wrong or expired place has its code."""
    cases = [{"q": "a", "sort": "name"}, {"label": "crm"}, {"size_min": "0"}]
    for query in cases:
        problem = problem_of(
            archive.ask("GET", "/files", person, params={"at": JANUARY, **query}), 422, "invalid_input"
        )
        assert all(name in problem["errors"][0]["message"] for name in query)
    for moment in (JANUARY, "2020-01-01T00:00Z"):
        assert listed(archive, person, at=moment, folder="", recursive="true", deleted="true") == []
    problem_of(archive.ask("GET", "/files", person, params={"at": "yesterday"}), 422, "invalid_input")
    problem_of(archive.ask("GET", "/files", person, params={"at": here(archive) + "99"}), 410, "cursor_expired")


def test_everything_of_a_person_is_restored_as_new_versions(archive: Archive, person: int) -> None:
    """Changed, renamed, moved, trashed, removed for good: all as then; what is newer stays. Again it does nothing."""
    files = {name: save(archive, person, name, name.encode(), "f") for name in "abcde"}
    before = sorted(listed(archive, person))
    at = here(archive)
    ids = {name: file["id"] for name, file in files.items()}
    assert archive.ask("PUT", f"/files/{ids['a']}/content", person, data=b"scrambled").ok
    assert archive.ask(
        "PATCH", f"/files/{ids['b']}", person, json={"name": "B", "folder": "g", "labels": {"k": "v"}}
    ).ok
    assert archive.ask("DELETE", f"/files/{ids['c']}", person).ok
    assert archive.ask("DELETE", f"/files/{ids['d']}?permanent=true", person).ok
    new = save(archive, person, "new", b"new")
    for name in "abcd":
        archive.wait_copied(files[name], 2)
    for name in "acd":
        archive.blob(name.encode()).unlink()  # as the sweeper would
    wanted = {"changed": 2, "undeleted": 1, "recreated": 1, "left": 1, "unchanged": 1}
    plan = restore(archive, person, {"user": person}, at, dry_run=True)
    assert (plan["counts"], plan["dry_run"], plan["next"], plan["at"]) == (wanted, True, None, at)
    assert sorted(listed(archive, person)) != before
    done = restore(archive, person, {"user": person}, at)
    assert done["counts"] == wanted
    steps = {item["id"]: item for item in done["items"]}
    assert steps[ids["a"]]["differs"] == ["content"]
    assert steps[ids["b"]]["differs"] == ["name", "folder", "labels"]
    assert (steps[ids["a"]]["version"], steps[ids["a"]]["restored_version"]) == (3, 1)
    assert steps[ids["d"]]["new_id"] > new["id"]
    assert sorted(listed(archive, person)) == sorted([*before, ("new", "", new["sha256"])])
    for name in "ac":
        assert archive.ask("GET", f"/files/{ids[name]}/content", person).content == name.encode()
    head = here(archive)
    again = restore(archive, person, {"user": person}, at)
    assert again["counts"] == {"unchanged": 5, "left": 2}
    assert here(archive) == head
    trashed = restore(archive, person, {"user": person}, at, trash_newer=True)
    assert trashed["counts"] == {"unchanged": 5, "trashed": 1, "left": 1}
    assert sorted(listed(archive, person)) == before
    assert archive.ask("GET", f"/files/{ids['a']}/versions", person).json()["items"][-1]["version"] == 1


def test_a_folder_or_a_file_is_restored_alone(archive: Archive, person: int) -> None:
    """Only what lay in the folder then, and below it; one file by its id."""
    inside = save(archive, person, "in", b"in", "a/b")
    beside = save(archive, person, "out", b"out", "ab")
    at = here(archive)
    for file in (inside, beside):
        assert archive.ask("PATCH", f"/files/{file['id']}", person, json={"folder": "away"}).ok
    assert restore(archive, person, {"folder": "a"}, at)["counts"] == {"changed": 1}
    assert {(f[0], f[1]) for f in listed(archive, person)} == {("in", "a/b"), ("out", "away")}
    assert restore(archive, person, {"file": beside["id"]}, at)["counts"] == {"changed": 1}
    assert {(f[0], f[1]) for f in listed(archive, person)} == {("in", "a/b"), ("out", "ab")}


def test_people_restore_their_own_and_administrators_everything(archive: Archive, person: int) -> None:
    """Others' files are not there, others' accounts forbidden; an administrator's change is named as theirs."""
    file = save(archive, person, "mine", b"mine")
    at = here(archive)
    assert archive.ask("PATCH", f"/files/{file['id']}", person, json={"name": "other"}).ok
    for scope in ("all", {"user": archive.admin}, {"user": person, "folder": "x"}):
        problem_of(archive.ask("POST", "/restore", archive.boris, json={"scope": scope, "at": at}), 403, "forbidden")
    for file_id in (file["id"], 2**31 - 1):
        order = {"scope": {"file": file_id}, "at": at}
        problem_of(archive.ask("POST", "/restore", archive.boris, json=order), 404, "not_found")
    assert restore(archive, archive.admin, "all", at, dry_run=True)["counts"]["changed"] == 1
    assert restore(archive, archive.admin, {"user": person, "folder": ""}, at)["counts"] == {"changed": 1}
    events = archive.rpc("files", "changes", since=at)["items"]
    assert [(e["by"], e["name"]) for e in events] == [(person, "other"), (archive.admin, "mine")]
    for scope in ({}, {"file": 1, "user": 1}, {"file": None}, "mine", {"folder": "/x"}):
        problem_of(archive.ask("POST", "/restore", person, json={"scope": scope, "at": at}), 422, "invalid_input")


def test_what_cannot_be_restored_is_named_and_the_rest_goes_on(archive: Archive, person: int) -> None:
    """A blob that neither the store nor the backup has: that file fails with its code, the others are restored."""
    lost, kept = (save(archive, person, name, name.encode() * 9) for name in ("lost", "kept"))
    at = here(archive)
    for file in (lost, kept):
        assert archive.ask("PUT", f"/files/{file['id']}/content", person, data=b"other").ok
        archive.wait_copied(file, 2)
    archive.blob(b"lost" * 9).unlink()
    archive.copy(lost, 1).unlink()
    done = restore(archive, person, {"user": person}, at)
    assert done["counts"] == {"failed": 1, "changed": 1}
    [failed] = [item for item in done["items"] if item["action"] == "failed"]
    assert (failed["id"], failed["error"]["wanted"]) == (lost["id"], "changed")
    assert failed["error"]["code"] in ("blob_damaged", "not_found")


def test_a_long_restoration_goes_on_where_the_answer_ended(archive: Archive, person: int) -> None:
    """More files than are restored together: each once, in the order of ids, also when the order is given in parts."""
    files = [save(archive, person, f"{n}", b"same") for n in range(60)]
    at = here(archive)
    operations = [{"op": "move", "id": file["id"], "folder": "away"} for file in files]
    assert archive.ask("POST", "/batch", person, json={"operations": operations}).ok
    done = restore(archive, person, {"user": person}, at)
    assert (done["counts"], done["next"]) == ({"changed": 60}, None)
    assert [item["id"] for item in done["items"]] == [file["id"] for file in files]
    page = archive.rpc("files", "compare", at=at, user_id=person, limit=10)
    rest = restore(archive, person, {"user": person}, at, after=page["next"])
    assert rest["counts"] == {"unchanged": 50}
    order = {"scope": {"folder": "x"}, "at": at, "after": page["next"]}
    problem_of(archive.ask("POST", "/restore", person, json=order), 422, "invalid_input")
