"""The comparison's program: docsave's own handlers in one process, which must do what the services do."""

from collections.abc import Iterator

import pytest
import requests

from bench.cost import family, megabytes, processor_times, spent
from bench.onebox import OneProcess, running
from bench.programs import PASSWORD, new_user
from tests.support.notifier import Recorder
from tests.support.system import System
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(OneProcess(tmp_path_factory.mktemp("one"))) as system:
        yield system


@pytest.fixture(scope="module")
def headers(one: System) -> dict[str, str]:
    return {"Authorization": f"Bearer {new_user(one, 'anna')}"}


def test_a_document_is_saved_announced_and_copied_without_a_broker(one: System, headers: dict[str, str]) -> None:
    """The upload's call, its event to the socket, its copy, and the report of the copy: all inside one process."""
    listener = Recorder(one.socket_url, ["websocket"], {"token": headers["Authorization"].split()[1]})
    saved = requests.post(f"{one.base_url}/files?name=a.txt", data=b"content", headers=headers, timeout=10)
    assert saved.status_code == 201
    file = f"{one.base_url}/files/{saved.json()['id']}"
    wait_until(lambda: {name for name, *_ in listener.heard} == {"Notify_File_create", "Notify_File_protected"}, 10)
    listener.close()
    assert requests.get(file, headers=headers, timeout=10).json()["backup"] == {"state": "protected", "version": 1}
    assert requests.get(f"{file}/content", headers=headers, timeout=10).content == b"content"
    assert family(one.front_pid) == [one.front_pid]


def test_errors_of_a_service_are_answered_as_theirs(one: System, headers: dict[str, str]) -> None:
    """A coded error passes through the direct call with its status and its fields."""
    again = {"login": "anna", "password": PASSWORD}
    assert requests.post(f"{one.base_url}/users", json=again, timeout=10).json()["code"] == "login_taken"
    assert requests.get(f"{one.base_url}/files/999999", headers=headers, timeout=10).json()["code"] == "not_found"


def test_cost_is_that_of_the_whole_family(one: System) -> None:
    """What the comparison counts is there to be counted."""
    found = processor_times([*family(one.front_pid), 2**22 + 1])
    assert found.keys() == {one.front_pid}
    assert found[one.front_pid] > 1
    assert spent({one.front_pid: 0.5, 7: 9.0}, {one.front_pid: 2.0, 8: 1.0}) == 2.5
    assert megabytes(family(one.front_pid)) > 50
