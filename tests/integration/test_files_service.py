"""The files service on the bus: what is committed is told, once it is answered, and told later if it could not be."""

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import kombu
import pytest
from nameko.containers import ServiceContainer
from nameko.standalone.rpc import ClusterRpcProxy
from nameko.testing.services import entrypoint_hook
from sqlalchemy import text, update

from docsave_services.db.leases import take_lease
from docsave_services.db.models import FileRow
from docsave_services.errors import BlobMissing, InvalidInput, NotFound
from docsave_services.files import outbox
from docsave_services.files.service import FilesService
from docsave_services.times import now
from tests.support.configuration import load_config
from tests.support.documents import Documents
from tests.support.rabbitmq import Broker
from tests.support.sweeping import Sweeping

WaitUntil = Callable[..., Any]


@pytest.fixture
def config(documents: Documents, tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return load_config(monkeypatch, AMQP_URI=broker.amqp_uri, DB_URI=documents.db_uri, DATA_DIR=tmp_path)


@pytest.fixture
def service(config: dict[str, Any], heard: "Heard") -> Iterator[ServiceContainer]:
    container = ServiceContainer(FilesService, config=config)
    container.start()
    yield container
    container.kill()


class Heard:
    """A queue bound to the events of files, as any listener's."""

    def __init__(self, amqp_uri: str, durable_name: str = "") -> None:
        self._amqp_uri = amqp_uri
        self._name = durable_name
        self.events: list[dict[str, Any]] = []
        self.connect()

    def connect(self) -> None:
        """Open the queue, again after the broker was away: only one with a name is still there then."""
        self.connection = kombu.Connection(self._amqp_uri)
        self.channel = self.connection.channel()
        exchange = kombu.Exchange("files.events", "topic", durable=True)
        kept = bool(self._name)
        queue = kombu.Queue(self._name, exchange, routing_key="#", exclusive=not kept, durable=kept)
        self.queue = queue(self.channel)
        self.queue.declare()

    def fetch(self) -> list[dict[str, Any]]:
        """All events so far."""
        while message := self.channel.basic_get(self.queue.name, no_ack=True):
            assert message.delivery_info["routing_key"] == json.loads(message.body)["type"]
            self.events.append(json.loads(message.body))
        return self.events


@pytest.fixture
def heard(broker: Broker) -> Iterator[Heard]:
    heard = Heard(broker.amqp_uri)
    yield heard
    heard.connection.release()


@pytest.fixture
def files(service: ServiceContainer, config: dict[str, Any]) -> Iterator[Any]:
    with ClusterRpcProxy({"AMQP_URI": config["AMQP_URI"]}, timeout=10) as cluster:
        yield cluster.files


def unmarked(documents: Documents) -> int:
    query = text("SELECT COUNT(*) FROM file_event WHERE dispatched = 0")
    return int(documents.db.read(lambda s: s.execute(query).scalar_one()))


def test_each_change_is_told_once_and_marked(
    files: Any, documents: Documents, heard: Heard, wait_until: WaitUntil
) -> None:
    """The events are those of the journal, field by field."""
    file = files.create(user_id=documents.user_id, name="a.txt", blob=documents.blob(b"one"), media_type="text/plain")
    files.update(file_id=file["id"], name="b.txt", by=documents.user_id)
    files.delete(file_id=file["id"])
    wait_until(lambda: len(heard.fetch()) == 3)
    assert sorted(heard.events, key=lambda e: e["event_id"]) == files.changes()["items"]
    assert [e["type"] for e in files.changes()["items"]] == ["File_create", "File_update", "File_delete"]
    wait_until(lambda: unmarked(documents) == 0)
    assert files.head()["cursor"].endswith(":3")


def test_what_a_crash_left_behind_is_told_by_the_timer(
    documents: Documents, heard: Heard, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, wait_until: WaitUntil
) -> None:
    """Committed, never told: the next process tells it within seconds of its start."""
    monkeypatch.setattr(outbox, "RELAY_AFTER_SECONDS", 0.0)
    documents.apply(documents.create("left behind"), documents.create("and this"))
    container = ServiceContainer(FilesService, config=config)
    container.start()
    try:
        wait_until(lambda: [e["name"] for e in heard.fetch()] == ["left behind", "and this"])
        wait_until(lambda: unmarked(documents) == 0)
    finally:
        container.kill()


def test_while_another_holds_the_lease_nothing_is_told_twice(
    service: ServiceContainer, documents: Documents, heard: Heard, monkeypatch: pytest.MonkeyPatch,
    wait_until: WaitUntil,
) -> None:  # fmt: skip
    """One relay at a time; when the lease ends, another takes over."""
    monkeypatch.setattr(outbox, "RELAY_AFTER_SECONDS", 0.0)
    extension = next(e for e in service.extensions if isinstance(e, outbox.Outbox))
    assert take_lease(documents.db, outbox.RELAY_LEASE, "somebody else", 60)
    documents.apply(documents.create())
    assert extension.relay() == 0
    assert heard.fetch() == []
    assert take_lease(documents.db, outbox.RELAY_LEASE, "somebody else", 0)
    wait_until(lambda: len(heard.fetch()) == 1)


def test_a_batch_over_the_bus_answers_each_change(files: Any, documents: Documents, wait_until: WaitUntil) -> None:
    """The call that the gateway makes."""
    bad = {**documents.create(), "name": "a/b"}
    outcomes = files.apply(changes=[documents.create("good"), bad])
    assert [o["ok"] for o in outcomes] == [True, False]
    assert outcomes[1]["errors"][0]["field"] == "name"
    wait_until(lambda: unmarked(documents) == 0)


@pytest.mark.parametrize("changes", [None, {}, [1], ["x"], [None]])
def test_a_batch_of_the_wrong_shape_is_invalid_input(files: Any, changes: Any) -> None:
    """A named error, and the service lives."""
    with pytest.raises(InvalidInput):
        files.apply(changes=changes)
    assert files.health() == {"database": "ok"}


def test_single_calls_raise_the_error_of_their_change(files: Any, documents: Documents) -> None:
    """As `nameko shell` shows them."""
    with pytest.raises(NotFound):
        files.update(file_id=4711, name="x")
    with pytest.raises(InvalidInput, match="name"):
        files.create(user_id=documents.user_id, name="..", blob=documents.blob(b"x"))
    with pytest.raises(BlobMissing):
        files.create(user_id=documents.user_id, name="x", blob="../../etc/passwd")
    with pytest.raises(NotFound):
        files.get(file_id=2**40)


def test_a_broker_that_is_killed_costs_no_event(
    broker: Broker, files: Any, documents: Documents, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any],
    wait_until: WaitUntil,
) -> None:  # fmt: skip
    """Changes that were committed while it was away are told when it is back."""
    monkeypatch.setattr(outbox, "RELAY_AFTER_SECONDS", 0.5)
    files.create(user_id=documents.user_id, name="before", blob=documents.blob(b"1"))
    wait_until(lambda: unmarked(documents) == 0)
    listener = Heard(config["AMQP_URI"], f"heard-{uuid.uuid4().hex}")
    broker.kill()
    documents.apply(documents.create("meanwhile"))
    broker.start()
    listener.connect()
    wait_until(lambda: "meanwhile" in [e["name"] for e in listener.fetch()], 40)
    wait_until(lambda: unmarked(documents) == 0)
    listener.channel.queue_delete(listener.queue.name)
    listener.connection.release()


def test_the_backup_reports_what_it_holds(files: Any, documents: Documents) -> None:
    """`protected` becomes the file's backup state."""
    file = files.create(user_id=documents.user_id, name="a", blob=documents.blob(b"1"))
    assert files.protected(items=[{"file_id": file["id"], "version": 1}]) == {"updated": 1}
    assert files.get(file_id=file["id"])["backup"] == {"state": "protected", "version": 1}
    assert files.get_many(file_ids=[file["id"], 999])[1] is None
    page = files.list(user_id=documents.user_id, limit=1)
    assert page["items"][0]["id"] == file["id"]
    assert "path" not in page["items"][0]


def test_the_sweeper_runs_by_timer_and_by_call(service: ServiceContainer, files: Any, documents: Documents) -> None:
    """A preview changes nothing; the timer's pass takes aside what nobody needs."""
    sweeping = Sweeping(documents)
    sweeping.backup_reports()
    orphan = sweeping.idle_blob(b"orphan")
    assert (files.sweep()["blobs"], files.sweep()["bytes"]) == (1, 6)
    assert sweeping.path(orphan).exists()
    with entrypoint_hook(service, "sweep_regularly") as sweep_regularly:
        sweep_regularly()
    assert not sweeping.path(orphan).exists()
    assert files.sweep(dry_run=False)["condemned"] == 0
    with pytest.raises(InvalidInput):
        files.sweep(dry_run="no")


def test_removals_by_age_are_told_like_all_others(
    config: dict[str, Any], documents: Documents, heard: Heard, wait_until: WaitUntil
) -> None:
    """One event for each, permanent, by nobody."""
    file = documents.apply(documents.create()).outcomes[0]["file"]
    documents.apply({"op": "delete", "by": None, "file_id": file["id"]})
    long_ago = update(FileRow).values(deleted_at=now() - timedelta(days=8))
    documents.db.write(lambda s: s.execute(long_ago))
    config["DOCSAVE"]["trash_days"] = "7"
    container = ServiceContainer(FilesService, config=config)
    container.start()
    try:
        with ClusterRpcProxy({"AMQP_URI": config["AMQP_URI"]}, timeout=10) as cluster:
            assert cluster.files.sweep()["trash"] == 1
            assert cluster.files.sweep(dry_run=False)["trash"] == 1
            with pytest.raises(NotFound):
                cluster.files.get(file_id=file["id"])
        event = wait_until(lambda: [e for e in heard.fetch() if e["permanent"]])[0]
        assert (event["type"], event["id"], event["version"], event["by"]) == ("File_delete", file["id"], 3, None)
    finally:
        container.kill()
