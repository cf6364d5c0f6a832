"""``Prefer: wait`` over HTTP, with the services and the backup as processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.integration.archive import Archive
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

WAIT = {"Prefer": "wait=10"}


@pytest.fixture(scope="module")
def archive(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    archive = Archive(broker, tmp_path_factory.mktemp("archive"))
    yield archive
    archive.stop()


def reached(answer: requests.Response) -> tuple[Any, ...]:
    """Status, what was honoured, and how safe the change is."""
    backup = answer.json()["backup"]
    return answer.status_code, answer.headers.get("Preference-Applied"), backup["state"], backup["version"]


def test_each_change_can_be_answered_when_it_is_safe(archive: Archive) -> None:
    """Saved, replaced, renamed, out of the trash, restored: the answer's version is in the backup when it comes."""
    answer = archive.ask("POST", "/files?name=a.txt", data=b"one", headers=WAIT)
    assert reached(answer) == (201, "wait=10", "protected", 1)
    file = answer.json()
    assert archive.copy(file, 1).read_bytes() == b"one"
    path = f"/files/{file['id']}"
    for number, (method, rest, options) in enumerate(
        [
            ("PUT", "/content", {"data": b"two"}),
            ("PATCH", "", {"json": {"name": "b.txt"}}),
            ("DELETE", "", {}),
            ("POST", "/restore", {}),
            ("POST", "/versions/1/restore", {}),
        ],
        2,
    ):
        answer = archive.ask(method, path + rest, headers=WAIT, **options)
        assert method == "DELETE" or reached(answer) == (200, "wait=10", "protected", number)
    same = archive.ask("PUT", f"{path}/content", data=b"one", headers=WAIT)  # no new version: safe already
    assert reached(same) == (200, "wait=10", "protected", 6)
    assert reached(archive.ask("GET", path)) == (200, None, "protected", 6)


def test_without_the_preference_nobody_waits(archive: Archive) -> None:
    """Nor with one that cannot be meant."""
    for header in ({}, {"Prefer": "wait=soon"}, {"Prefer": "return=minimal"}):
        answer = archive.ask("POST", "/files?name=a.txt", data=b"one", headers=header)
        assert (answer.status_code, "Preference-Applied" in answer.headers) == (201, False)


def test_many_wait_at_once_without_holding_up_others(archive: Archive) -> None:
    """While the backup is away they wait as long as they said, and are told that it is pending; the rest goes on."""
    assert archive.backup is not None
    archive.backup.stop()
    try:
        with ThreadPoolExecutor(40) as pool:
            began = time.monotonic()

            def save(number: int) -> requests.Response:
                return archive.ask("POST", f"/files?name={number}", data=b"%d" % number, headers={"Prefer": "wait=3"})

            answers = [pool.submit(save, number) for number in range(40)]
            wait_until(lambda: len(archive.ask("GET", "/files?q=3").json()["items"]) >= 10, 10)
            quick = time.monotonic()
            assert archive.ask("GET", "/files").status_code == 200
            assert time.monotonic() - quick < 1
            assert not any(answer.done() for answer in answers) or time.monotonic() - began > 3
            assert {reached(answer.result()) for answer in answers} == {(201, "wait=3", "pending", 0)}
            assert time.monotonic() - began < 9
    finally:
        archive.start_backup()
