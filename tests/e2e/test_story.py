"""The whole job, end to end, on SQLite and on MariaDB.

Two people save, change, rename and delete documents at the same time; they and the administrator listen with three
different Socket.IO clients. The tests then compare what was acknowledged, heard, journaled and backed up.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from nameko.standalone.rpc import ServiceRpcProxy

from tests.e2e.accounts import Account, new_account
from tests.support.mariadb import MariaDb
from tests.support.notifier import NodeClient, Recorder
from tests.support.system import System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PROTECTED = "Notify_File_protected"
HEARD_SECONDS = 15.0
SAFE_SECONDS = 60.0
LARGE_BYTES = 64 * 1024 * 1024

NAMES = [
    "Grüße 🎉 from Zürich.txt",
    "a\"; filename=evil.exe; 'b'.txt",
    "é" * 255,
    "CON",
    "-rf $(id) `id` %00 %2e%2e.txt",
    "<script>alert(1)</script>:*?|.html".replace("/", "_"),
    "e\u0301 is not é.txt",
    ". hidden .",
]
"""Names that break what is not careful; all are allowed and must come back exactly."""


@dataclass
class Story:
    """What the people did and what they and the administrator heard."""

    system: System
    ann: Account
    bob: Account
    admin: Account
    received: dict[str, Callable[[], list[tuple[str, dict[str, Any]]]]]
    journal: list[dict[str, Any]]
    """All events, from the administrator's first on."""

    def heard(self, who: str) -> list[tuple[str, dict[str, Any]]]:
        """The changes that somebody heard of."""
        return [(name, event) for name, event in self.received[who]() if name != PROTECTED]

    def safe(self, who: str) -> dict[int, int]:
        """The newest version of each document of which somebody heard that its copy is safe."""
        news = [event for name, event in self.received[who]() if name == PROTECTED]
        return {event["id"]: event["version"] for event in sorted(news, key=lambda event: int(event["version"]))}

    def events_of(self, account: Account) -> list[dict[str, Any]]:
        """The journal's events of one person's documents."""
        return [event for event in self.journal if event["user_id"] == account.id]


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The running system, once on each database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("system")
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    with running_system(tmp_path_factory.mktemp("on_mariadb"), DOCSAVE_DB_URI=server.fresh_uri()) as started:
        yield started


@pytest.fixture(scope="module")
def story(live: System) -> Iterator[Story]:
    """Ann and Bob work at the same time while all three listen; it ends when everybody has heard the last event."""
    ann, bob = new_account(live.base_url, "ann"), new_account(live.base_url, "bob")
    admin = Account(live.base_url, live.admin_login, live.admin_password)
    python = Recorder(live.socket_url, ["polling", "websocket"])
    newest = NodeClient("socket.io-client", live.socket_url, "websocket")
    amritb = NodeClient("socket.io-client-v3", live.socket_url, "polling,websocket")
    try:
        start = _connect(python, newest, amritb, ann, bob, admin)
        _at_the_same_time(lambda: _ann_works(ann), lambda: _bob_works(bob))
        journal = _changes(live, start)
        story = Story(
            live,
            ann,
            bob,
            admin,
            {
                "ann": lambda: [(event, arguments[0]) for event, *arguments in python.heard],
                "bob": lambda: newest.events,
                "admin": lambda: amritb.events,
            },
            journal,
        )
        last = {"ann": story.events_of(ann)[-1], "bob": story.events_of(bob)[-1], "admin": journal[-1]}
        wait_until(lambda: all(_has_heard(story, who, event) for who, event in last.items()), HEARD_SECONDS)
        yield story
    finally:
        python.close()
        newest.close()
        amritb.close()


def test_every_acknowledged_act_is_one_event_in_the_order_of_the_acts(story: Story) -> None:
    """The journal has exactly what each person was told had happened: type, file, version, name and content."""
    for person in (story.ann, story.bob):
        journaled = [(e["type"], e["id"], e["version"], e["name"], e["sha256"]) for e in story.events_of(person)]
        assert journaled == person.diary
        assert {e["by"] for e in story.events_of(person)} == {person.id}


def test_the_two_worked_at_the_same_time(story: Story) -> None:
    """The journal changes hands more than once, so that the order in it says something."""
    owners = [event["user_id"] for event in story.journal]
    assert sum(first != second for first, second in itertools.pairwise(owners)) > 2


def test_the_journal_has_no_hole(story: Story) -> None:
    """From the first event ever to the last, ids are 1, 2, 3…; the story's events are its end."""
    whole = _changes(story.system, None)
    assert [event["event_id"] for event in whole] == list(range(1, len(whole) + 1))
    before = story.journal[0]["event_id"] - 1
    assert whole[before : before + len(story.journal)] == story.journal


def test_versions_of_a_file_have_no_hole(story: Story) -> None:
    """The versions of each file are 1, 2, 3… in journal order."""
    for file_id in {event["id"] for event in story.journal}:
        versions = [event["version"] for event in story.journal if event["id"] == file_id]
        assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_a_user_hears_of_their_own_files_only(story: Story, who: str) -> None:
    """Each event of the user's files, once, in order, word for word; of nobody else's anything at all."""
    account = story.ann if who == "ann" else story.bob
    assert story.heard(who) == [(f"Notify_{event['type']}", event) for event in story.events_of(account)]


def test_the_administrator_hears_of_everything(story: Story) -> None:
    """Every event of everybody's files, once, in the order of event_id."""
    assert story.heard("admin") == [(f"Notify_{event['type']}", event) for event in story.journal]


def test_each_version_lies_in_the_backup_within_seconds(story: Story) -> None:
    """Under history there is one read-only copy with the right bytes for each version, and the event beside it."""
    for event in story.journal:
        directory = _directory(story.system, event)
        event_file = directory / f"v{event['version']:06d}.json"
        wait_until(event_file.exists, SAFE_SECONDS)
        entry = json.loads(event_file.read_bytes())
        assert {name: entry[name] for name in event} == event
        copies = list(directory.glob(f"v{event['version']:06d}_*"))
        if event["type"] == "File_delete":
            assert copies == []
            continue
        assert [_sha256(copy) for copy in copies] == [event["sha256"]]
        assert {stat.S_IMODE(path.stat().st_mode) for path in (*copies, event_file)} == {0o444}


def test_each_version_can_be_had_as_it_was(story: Story) -> None:
    """The list tells what the journal does, newest first, and every version comes back with its exact bytes."""
    fields = ("version", "name", "size", "sha256", "at", "media_type", "folder", "labels", "by", "permanent")
    for person in (story.ann, story.bob):
        for file_id in {event["id"] for event in story.events_of(person)}:
            events = [event for event in story.events_of(person) if event["id"] == file_id]
            told = [{**{field: event[field] for field in fields}, "event": event["type"]} for event in reversed(events)]
            wait_until(lambda p=person, f=file_id, v=told: p.versions(f) == v, SAFE_SECONDS)  # type: ignore[misc]
            for event in events:
                answer = person.download_version(file_id, event["version"])
                if event["type"] == "File_delete":
                    assert answer.status_code == 404
                else:
                    assert hashlib.sha256(answer.content).hexdigest() == event["sha256"]


def test_an_old_version_comes_back_out_of_the_trash(story: Story) -> None:
    """With its name and bytes, as one more version, although the document had others since and was deleted."""
    eve = new_account(story.system.base_url, "eve")
    file = eve.save("first.txt", b"first")
    eve.replace(file["id"], b"second")
    eve.delete(eve.rename(file["id"], "third.txt"))
    wait_until(lambda: len(eve.versions(file["id"])) == 4, SAFE_SECONDS)
    restored = eve.restore_version(file["id"], 1)
    assert (restored["version"], restored["name"], restored["deleted_at"]) == (5, "first.txt", None)
    assert eve.download(file["id"]).content == b"first"
    assert [document["id"] for document in eve.documents()] == [file["id"]]


def test_the_backup_holds_nothing_else(story: Story) -> None:
    """In the directories of the story's files there is nothing beside the entries of its events."""
    expected: dict[Path, int] = {}
    for event in story.journal:
        wait_until((_directory(story.system, event) / f"v{event['version']:06d}.json").exists, SAFE_SECONDS)
        directory = _directory(story.system, event)
        expected[directory] = expected.get(directory, 0) + (1 if event["type"] == "File_delete" else 2)
    assert {directory: len(list(directory.iterdir())) for directory in expected} == expected


def test_every_file_becomes_protected(story: Story) -> None:
    """Once its newest version is safe, a file's metadata says so."""
    for person in (story.ann, story.bob):
        for file in person.documents():
            wait_until(lambda p=person, f=file: _is_protected(p, f), SAFE_SECONDS)  # type: ignore[misc]


def test_everybody_hears_of_their_copies(story: Story) -> None:
    """The person with a document and the administrator hear that the newest version of it is safe."""
    newest = {event["id"]: event for event in story.journal}
    for who, account in (("ann", story.ann), ("bob", story.bob), ("admin", None)):
        wanted = {i: e["version"] for i, e in newest.items() if account is None or e["user_id"] == account.id}
        wait_until(lambda w=who, v=wanted: v.items() <= story.safe(w).items(), SAFE_SECONDS)  # type: ignore[misc]
        assert account is None or story.safe(who).keys() == wanted.keys()


def test_every_file_downloads_as_it_was_last_saved(story: Story) -> None:
    """The list, the metadata and the bytes are those of the last act on each file; what was deleted is 404."""
    for person in (story.ann, story.bob):
        last = {file_id: (kind, version, name, sha) for kind, file_id, version, name, sha in person.diary}
        kept = {file_id: rest for file_id, (kind, *rest) in last.items() if kind != "File_delete"}
        listed = {file["id"]: [file["version"], file["name"], file["sha256"]] for file in person.documents()}
        assert listed == kept
        for file_id, (_, _, sha256) in kept.items():
            assert hashlib.sha256(person.download(file_id).content).hexdigest() == sha256
        for file_id in last.keys() - kept.keys():
            assert (person.look(file_id).status_code, person.download(file_id).status_code) == (404, 404)


def test_somebody_elses_file_does_not_exist(story: Story) -> None:
    """Bob gets 404 for Ann's files, the administrator sees them."""
    file = story.ann.documents()[0]
    assert (story.bob.look(file["id"]).status_code, story.bob.download(file["id"]).status_code) == (404, 404)
    assert story.admin.look(file["id"]).json()["id"] == file["id"]


def test_odd_names_come_back_exactly_and_are_safe_on_disk(story: Story) -> None:
    """Names are kept as sent; the copy's file name has none of the characters that a system would interpret."""
    names = {event["name"]: event for event in story.journal if event["type"] == "File_create"}
    for name in NAMES:
        event = names[name]
        assert story.ann.look(event["id"]).json()["name"] == name
        directory = _directory(story.system, event)
        wait_until((directory / "v000001.json").exists, SAFE_SECONDS)
        (copy,) = directory.glob("v000001_*")
        assert not set(copy.name) & set('<>:"/\\|?*\0')
        assert len(os.fsencode(copy.name)) <= 255
        disposition = story.ann.download(event["id"]).headers["Content-Disposition"]
        assert disposition.startswith("attachment")
        assert disposition.isascii()


def test_a_search_finds_a_name_without_regard_to_case(story: Story) -> None:
    """``q`` in another case finds the one document."""
    assert [file["name"] for file in story.ann.documents(q="GRÜSSE 🎉 FROM")] == [NAMES[0]]


def test_a_bad_token_gets_no_event(story: Story) -> None:
    """It is refused by name and closed. Neither it nor a socket that said nothing hears what another one hears."""
    forged = story.ann.token[:-4] + ("AAAA" if story.ann.token[-4:] != "AAAA" else "BBBB")
    stranger = Recorder(story.system.socket_url, ["websocket"])
    silent = Recorder(story.system.socket_url, ["websocket"])
    listener = Recorder(story.system.socket_url, ["websocket"])
    eve = new_account(story.system.base_url, "eve")
    try:
        assert listener.call("User_connect", {"token": eve.token})["ok"] is True
        assert stranger.call("User_connect", {"token": forged})["code"] == "unauthenticated"
        eve.save("secret.txt", b"secret")
        wait_until(lambda: listener.heard, HEARD_SECONDS)
        wait_until(lambda: stranger.closed, HEARD_SECONDS)
        assert (stranger.heard, silent.heard) == ([], [])
    finally:
        for client in (stranger, silent, listener):
            client.close()


def test_a_users_token_is_not_an_administrators(story: Story) -> None:
    """Admin_connect with a user's token is forbidden, and no event of others follows."""
    eve = new_account(story.system.base_url, "eve")
    client = Recorder(story.system.socket_url, ["websocket"])
    try:
        assert client.call("Admin_connect", {"token": eve.token})["code"] == "forbidden"
        wait_until(lambda: client.closed, HEARD_SECONDS)
        assert client.heard == []
    finally:
        client.close()


def test_a_truncated_upload_leaves_nothing(story: Story) -> None:
    """No file, no event, no blob and no unfinished upload: the answer is 400 and the next upload is the next event."""
    torso = os.urandom(300_000)
    eve = new_account(story.system.base_url, "eve")
    place = _cursor(story.system)
    answer = eve.save_truncated("torso.bin", len(torso) * 2, torso)
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body_truncated"
    assert eve.documents() == eve.documents(deleted="true") == []
    eve.save("whole.bin", b"whole")
    assert [event["name"] for event in _changes(story.system, place)] == ["whole.bin"]
    blobs = story.system.data_dir / "blobs"
    assert list((blobs / "staging").iterdir()) == []
    assert list(blobs.rglob(hashlib.sha256(torso).hexdigest())) == []


def test_health_is_ready_after_all_this(story: Story) -> None:
    """Every part of the system answers."""
    report = requests.get(f"{story.system.base_url}/health/ready", timeout=30)
    assert report.status_code == 200, report.text


def _connect(
    python: Recorder, newest: NodeClient, amritb: NodeClient, ann: Account, bob: Account, admin: Account
) -> str:
    """Ann, Bob and the administrator say who they are, each in one of the ways there are; the place that follows."""
    newest.said("connect")
    amritb.said("connect")
    acks = [
        python.call("User_connect", {"token": ann.token}),
        newest.emit("User_connect", bob.token),
        amritb.emit("Admin_connect", {"token": admin.token}),
    ]
    assert [(ack["ok"], ack["user_id"]) for ack in acks] == [(True, ann.id), (True, bob.id), (True, admin.id)]
    start: str = acks[-1]["cursor"]
    return start


def _ann_works(ann: Account) -> None:
    """Many small documents with odd names, an empty one, changes, and a deletion at the end."""
    for name in NAMES:
        ann.save(name, name.encode() * 3)
    plan, empty, short_lived = ann.save("plan.txt", b"plan"), ann.save("empty.txt", b""), ann.save("x", b"x")
    for number in range(5):
        ann.replace(plan["id"], f"version {number}".encode())
    ann.rename(plan["id"], "renamed 🎈.txt")
    ann.replace(empty["id"], b"no longer empty")
    ann.replace(empty["id"], b"")
    ann.delete(ann.rename(short_lived["id"], "about to go.txt"))


def _bob_works(bob: Account) -> None:
    """A form, equal content twice, a large document, and a small one after it."""
    first = bob.save("form.txt", b"equal content", as_form=True)
    second = bob.save("same.txt", b"equal content")
    bob.rename(first["id"], "form 2.txt")
    bob.delete(second)
    for number in range(5):
        bob.save(f"{number}.txt", f"content {number}".encode())
    bob.save("large.bin", os.urandom(LARGE_BYTES))
    bob.save("after.txt", b"after the large one")


def _at_the_same_time(*acts: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive(), "the work takes too long"
    if failures:
        raise failures[0]


def _has_heard(story: Story, who: str, event: dict[str, Any]) -> bool:
    return event["event_id"] in [payload["event_id"] for _, payload in story.heard(who)]


def _changes(system: System, since: str | None) -> list[dict[str, Any]]:
    """The journal from that place to its end, read page by page as every reader does."""
    events: list[dict[str, Any]] = []
    with ServiceRpcProxy("files", {"AMQP_URI": system.amqp_uri}, timeout=20) as files:
        while page := files.changes(since=since, limit=100):
            if not page["items"]:
                return events
            events += page["items"]
            since = page["cursor"]
    return events


def _cursor(system: System) -> str:
    with ServiceRpcProxy("files", {"AMQP_URI": system.amqp_uri}, timeout=20) as files:
        place: str = files.head()["cursor"]
    return place


def _directory(system: System, event: dict[str, Any]) -> Path:
    return system.backup_dir / "history" / str(event["user_id"]) / str(event["id"])


def _is_protected(person: Account, file: dict[str, Any]) -> bool:
    state: dict[str, Any] = person.look(file["id"]).json()["backup"]
    return state == {"state": "protected", "version": file["version"]}


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
