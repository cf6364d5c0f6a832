"""The feed on both databases: filters in SQL, and readers at the heels of many writers."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import eventlet
import pytest

from docsave_services.contracts import Change
from docsave_services.db import journal
from docsave_services.domain.change_filter import ChangeFilter
from docsave_services.domain.filters import label_filter
from tests.integration.gateway_process import GatewayProcess, bearer
from tests.integration.test_files_changes import WRITER
from tests.support.documents import Documents
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

FOLDERS = ["", "clients", "clients/acme", "clients/acme/2026", "clients/acmeville", "Clients", "clients/äcme"]
LABELS: list[dict[str, str]] = [
    {},
    {"crm.deal": "42"},
    {"crm.deal": "421"},
    {"CRM.deal": "42"},
    {"crm.deal": "42", "state": "won"},
    {"note": '"crm.deal": "42"'},
    {"state": "ü\\"},
    {"state": ""},
]
FILTERS = [
    {"types": ("File_update",)},
    {"types": ("File_create", "File_delete"), "folder": "clients"},
    {"folder": "clients/acme"},
    {"folder": "clients/äcme"},
    {"labels": ("crm.deal",)},
    {"labels": ("crm.deal=42",)},
    {"labels": ("crm.deal=42", "state")},
    {"labels": ("state=ü\\",)},
    {"labels": ("state=",), "types": ("File_create",)},
    {"folder": "clients", "labels": ("crm.deal=42",), "types": ("File_update",)},
]


def filter_of(types: tuple[str, ...] = (), folder: str = "", labels: tuple[str, ...] = ()) -> ChangeFilter:
    return ChangeFilter(types, folder, tuple(map(label_filter, labels)))


def read_all(documents: Documents, wanted: ChangeFilter, limit: int, user_id: int | None = None) -> list[int]:
    """The numbers of all events, page by page from the first, as a client reads them."""
    numbers: list[int] = []
    cursor, more = None, True
    while more:
        page = documents.db.read(lambda s, c=cursor: journal.read(s, c, limit, user_id, wanted))
        numbers += [event["event_id"] for event in page["items"]]
        cursor, more = page["cursor"], page["more"]
    return numbers


def test_the_database_filters_as_the_rule_says(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, also where a read ends before it has found anything, exactly the events that pass."""
    monkeypatch.setattr(journal, "SCAN_MAX", 5)
    other = documents.new_user()
    changes: list[Change] = [
        {**documents.create(content=b"x", user_id=user), "folder": folder, "labels": labels}
        for number, folder in enumerate(FOLDERS)
        for user, labels in zip(
            [documents.user_id, other] * 4, LABELS[number % 2 :] + LABELS[: number % 2], strict=True
        )
    ]
    created = [outcome["file"]["id"] for outcome in documents.apply(*changes).outcomes]
    documents.apply(*({"op": "update", "by": None, "file_id": i, "name": "b"} for i in created[::2]))
    documents.apply(*({"op": "delete", "by": None, "file_id": i} for i in created[::3]))
    everything = documents.db.read(lambda s: journal.read(s, None, 1000, None))["items"]
    for fields in FILTERS:
        wanted = filter_of(**fields)
        expected = [e["event_id"] for e in everything if wanted.passes(e)]
        assert expected, fields
        assert read_all(documents, wanted, 3) == expected, fields
        mine = [e["event_id"] for e in everything if wanted.passes(e) and e["user_id"] == other]
        assert read_all(documents, wanted, 2, other) == mine, fields


def test_a_filtered_reader_misses_nothing_while_processes_write(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor moves past what is not wanted, never past what was not committed yet."""
    monkeypatch.setattr(journal, "SCAN_MAX", 7)
    wanted = filter_of(types=("File_update",), folder="inbox")
    file = documents.apply({**documents.create(), "folder": "inbox"}).outcomes[0]["file"]
    arguments = [documents.db_uri, str(documents.store.root), str(documents.user_id), documents.blob(b"x")]
    writers = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", WRITER, *arguments]) for _ in range(3)]
    names: list[str] = []
    seen: list[str] = []
    cursor: str | None = None
    try:
        while any(writer.poll() is None for writer in writers):
            names.append(f"n{len(names)}")
            documents.apply({"op": "update", "by": None, "file_id": file["id"], "name": names[-1]})
            page = documents.db.read(lambda s, c=cursor: journal.read(s, c, 3, None, wanted))
            seen += [event["name"] for event in page["items"]]
            cursor = page["cursor"]
            eventlet.sleep(0.002)
    finally:
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    while page["more"]:
        page = documents.db.read(lambda s, c=page["cursor"]: journal.read(s, c, 3, None, wanted))
        seen += [event["name"] for event in page["items"]]
    assert len(names) > 10
    assert seen == names


@pytest.fixture
def real(broker: Broker, documents: Documents, tmp_path: Path) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(broker.amqp_uri, tmp_path, DB_URI=documents.db_uri)
    services = [
        gateway.run(f"docsave_services.{name}") for name in ("users.service:UsersService", "files.service:FilesService")
    ]
    for part in ("users", "files"):
        wait_until(lambda part=part: gateway.get("/health/ready").json()["checks"][part]["status"] == "ok", 30)
    yield gateway
    for each in (gateway.program, *services):
        each.send(signal.SIGTERM)
    for each in (gateway.program, *services):
        each.stop()


def feed(gateway: GatewayProcess, query: str, headers: dict[str, str]) -> dict:
    answer = gateway.get(f"/changes?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


WRITERS, FILES_EACH = 8, 12


def test_a_reader_that_waits_follows_many_writers(real: GatewayProcess, documents: Documents) -> None:
    """Eight clients save at once while two read with ``wait``: each change once, in order, as it was acknowledged."""

    def save(writer: int) -> list[int]:
        saved = []
        for n in range(FILES_EACH):
            answer = real.request("POST", f"/files?name={writer}-{n}", headers=bearer(documents.user_id), data=b"x")
            assert answer.status_code == 201, answer.text
            saved.append(answer.json()["id"])
        return saved

    def read(headers: dict[str, str], cursor: str, query: str) -> list[dict]:
        seen: list[dict] = []
        while len(seen) < WRITERS * FILES_EACH:
            page = feed(real, f"since={cursor}&wait=10&{query}", headers)
            assert page["items"], "nothing came for ten seconds"
            seen += page["items"]
            cursor = page["cursor"]
        return seen

    own, everybody = bearer(documents.user_id), bearer(9, "admin")
    start = feed(real, "since=now", own)["cursor"]
    readers = [
        eventlet.spawn(read, own, start, "type=File_create&limit=5"),
        eventlet.spawn(read, everybody, start, ""),
    ]
    writers = [eventlet.spawn(save, n) for n in range(WRITERS)]
    saved = sorted(file_id for writer in writers for file_id in writer.wait())
    for reader in readers:
        seen = reader.wait()
        assert sorted(event["id"] for event in seen) == saved
        numbers = [event["event_id"] for event in seen]
        assert numbers == list(range(numbers[0], numbers[0] + len(saved)))
