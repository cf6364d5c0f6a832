"""Following changes with the client: each once and in order, whatever becomes of the connection; and the mirror."""

import json
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docsave_client import live
from docsave_client.backoff import Backoff
from docsave_client.client import Client
from docsave_client.errors import NotLoggedIn, NotReachable, Refused
from docsave_client.transport import Call
from docsave_client.types import Event
from tests.e2e.command_line import PASSWORD, Administrator, Person
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.programs import Program
from tests.support.system import System
from tests.support.waiting import wait_until

OTHER_EPOCH = "0b0f1e2d-0000-4000-8000-00000000000a"


@pytest.fixture
def proxy(system: System) -> Iterator[CuttingProxy]:
    """In front of Socket.IO."""
    with cutting_proxy(system.socket_url) as proxy:
        yield proxy


@pytest.fixture
def anna(system: System, tmp_path: Path, proxy: CuttingProxy) -> Person:
    """Her Socket.IO goes through the proxy."""
    return Person(system, tmp_path / "anna", notifier=proxy.url)


@pytest.fixture
def admin(system: System, tmp_path: Path, proxy: CuttingProxy) -> Administrator:
    return Administrator(system, tmp_path / "admin", notifier=proxy.url)


@pytest.fixture
def hers(system: System, anna: Person) -> Client:
    """Her account, for making changes."""
    return Client(system.base_url, login=anna.login, password=PASSWORD)


@pytest.fixture
def stopping() -> Iterator[list[Program]]:
    """Programs that end with the test."""
    programs: list[Program] = []
    yield programs
    for each in programs:
        each.stop(signal.SIGKILL)


class Watch:
    """``docsave --json watch`` that goes on, and what it has shown."""

    def __init__(self, person: Person, log: Path, programs: list[Program], *arguments: str | Path) -> None:
        self.program = person.start(log, "--json", "watch", *arguments)
        programs.append(self.program)

    @property
    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.program.output().splitlines(keepends=True) if line.endswith("\n")]

    def stop(self) -> None:
        self.program.send(signal.SIGTERM)
        assert self.program.wait(20) == 0


def save(client: Client, tmp_path: Path, name: str, content: str = "x") -> int:
    path = tmp_path / "content"
    path.write_text(content)
    return client.upload(path, name)["id"]


def names(events: list[dict]) -> list[str]:
    return [event["name"] for event in events]


def seen_by(watch: Watch, name: str) -> bool:
    return name in names(watch.events)


def begun(watch: Watch, client: Client, tmp_path: Path) -> None:
    """Wait until it hears what happens; what it heard meanwhile are files called probe."""
    wait_until(lambda: save(client, tmp_path, "probe") and seen_by(watch, "probe"), 20, 0.3)


def without_probes(events: list[dict]) -> list[str]:
    return [name for name in names(events) if name != "probe"]


def test_changes_are_shown_once_although_the_line_is_cut(
    anna: Person, hers: Client, proxy: CuttingProxy, tmp_path: Path, stopping: list[Program]
) -> None:
    """300 rapid changes, the connection cut among them, the watcher stopped and started with its place; then all of
    them once more, sent as fast as they can be."""
    place = tmp_path / "place"
    watch = Watch(anna, tmp_path / "watch.log", stopping, "--cursor-file", place)
    begun(watch, hers, tmp_path)
    start = hers.changes("now")["cursor"]
    file_id = save(hers, tmp_path, "start")
    for n in range(300):
        hers.rename(file_id, f"n{n}")
        if n in (50, 120):
            proxy.cut()
        if n == 200:
            watch.stop()
            before = without_probes(watch.events)
            watch = Watch(anna, tmp_path / "again.log", stopping, "--cursor-file", place)
    wait_until(lambda: seen_by(watch, "n299"), 30)
    assert before + without_probes(watch.events) == ["start", *(f"n{n}" for n in range(300))]
    watch.stop()
    assert place.read_text().strip() == watch.events[-1]["cursor"]
    everything = Watch(anna, tmp_path / "everything.log", stopping, "--since", start)
    wait_until(lambda: seen_by(everything, "n299"), 30)
    assert without_probes(everything.events) == ["start", *(f"n{n}" for n in range(300))]


def test_without_socket_io_changes_come_by_polling(
    anna: Person, hers: Client, proxy: CuttingProxy, tmp_path: Path, stopping: list[Program]
) -> None:
    """Nothing is missed when Socket.IO goes away, nothing comes twice when it is back."""
    watch = Watch(anna, tmp_path / "watch.log", stopping)
    begun(watch, hers, tmp_path)
    proxy.refusing = True
    proxy.cut()
    for n in range(3):
        save(hers, tmp_path, f"polled{n}")
    wait_until(lambda: seen_by(watch, "polled2"), 20)
    connections = proxy.connections
    proxy.refusing = False
    wait_until(lambda: proxy.connections > connections, 60)
    save(hers, tmp_path, "live")
    wait_until(lambda: seen_by(watch, "live"), 20)
    assert without_probes(watch.events) == ["polled0", "polled1", "polled2", "live"]


def test_users_see_their_own_and_admins_all(
    system: System, anna: Person, admin: Administrator, hers: Client, tmp_path: Path, stopping: list[Program]
) -> None:
    """An administrator sees everybody's with --admin and only their own without; a user may not ask for all."""
    everything = Watch(admin, tmp_path / "all.log", stopping, "--admin")
    begun(everything, hers, tmp_path)
    own = Watch(admin, tmp_path / "own.log", stopping)
    admins = Client(system.base_url, login=admin.login, password=system.admin_password)
    begun(own, admins, tmp_path)
    save(hers, tmp_path, "anna's")
    mine = save(admins, tmp_path, "admin's")
    wait_until(lambda: seen_by(everything, "admin's") and seen_by(own, "admin's"), 20)
    assert {"anna's", "admin's"} <= set(names(everything.events))
    assert {event["user_id"] for event in own.events} == {admins.file(mine)["user_id"]}
    assert "administrator" in anna.error("--json", "watch", "--admin", code=1)


class Follow:
    """``Client.follow`` in a thread of this process."""

    def __init__(self, client: Client, **options: object) -> None:
        self.seen: list[str] = []
        self.reloads: list[int] = []
        self.problem: Exception | None = None
        self.before_each: Callable[[], object] = lambda: None
        self._client = client
        self._thread = threading.Thread(target=self._run, kwargs=options, daemon=True)
        self._thread.start()

    def _run(self, **options: object) -> None:
        try:
            self._client.follow(
                self._handle,
                reload=lambda: self.reloads.append(len(self.seen)),
                **options,  # type: ignore[arg-type]
            )
        except Exception as exc:
            self.problem = exc

    def _handle(self, event: Event) -> None:
        self.before_each()
        self.seen.append(event["name"])

    def stop(self) -> None:
        self._client.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def test_another_journal_makes_the_caller_reload(system: System, anna: Person, hers: Client, tmp_path: Path) -> None:
    """A place of before a restore: told to reload once, then what happens from now on."""
    save(hers, tmp_path, "old")
    place = tmp_path / "place"
    place.write_text(f"{OTHER_EPOCH}:1\n")
    client = Client(system.base_url, system.socket_url, login=anna.login, password=PASSWORD)
    follow = Follow(client, cursor_file=place)
    wait_until(lambda: follow.reloads, 20)
    save(hers, tmp_path, "new")
    wait_until(lambda: "new" in follow.seen, 20)
    follow.stop()
    assert (follow.seen, follow.reloads) == (["new"], [0])
    assert not place.read_text().startswith(OTHER_EPOCH)


def test_following_begins_where_it_is_told(system: System, anna: Person, hers: Client, tmp_path: Path) -> None:
    """At the first change, or after a place; a handler that fails ends it before the place moves."""
    for n in range(3):
        save(hers, tmp_path, f"f{n}")
    place = tmp_path / "place"
    client = Client(system.base_url, system.socket_url, login=anna.login, password=PASSWORD)
    follow = Follow(client, cursor_file=place, from_start=True)
    wait_until(lambda: len(follow.seen) == 3, 20)
    follow.stop()
    assert follow.seen == ["f0", "f1", "f2"]
    first = hers.changes(limit=1)["cursor"]
    place.write_text(first)

    def fail(event: object) -> None:
        raise RuntimeError("disk full")

    client = Client(system.base_url, system.socket_url, login=anna.login, password=PASSWORD)
    with pytest.raises(RuntimeError):
        client.follow(fail, cursor_file=place)
    assert place.read_text() == first


def test_a_slow_handler_misses_nothing(
    system: System, anna: Person, hers: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into memory is read again from the journal."""
    monkeypatch.setattr(live, "QUEUE_EVENTS", 5)
    file_id = save(hers, tmp_path, "start")
    handling = threading.Event()
    client = Client(system.base_url, system.socket_url, login=anna.login, password=PASSWORD)
    follow = Follow(client, from_start=True)
    wait_until(lambda: follow.seen == ["start"], 20)
    wait_until(lambda: save(hers, tmp_path, "probe") and "probe" in follow.seen, 20, 0.3)
    follow.before_each = handling.wait
    for n in range(40):
        hers.rename(file_id, f"n{n}")
    handling.set()
    wait_until(lambda: "n39" in follow.seen, 30)
    follow.stop()
    assert [name for name in follow.seen if name != "probe"] == ["start", *(f"n{n}" for n in range(40))]


def test_following_ends_with_a_reason(system: System, tmp_path: Path) -> None:
    """A bad token, a bad place and servers that stay away are told, not tried for ever."""
    with pytest.raises(NotLoggedIn):
        Client(system.base_url, system.socket_url, token="x.y.z").follow(print)
    admin = Client(system.base_url, system.socket_url, login="admin", password=system.admin_password)
    with pytest.raises(Refused) as refused:
        admin.follow(print, since="nowhere")
    assert refused.value.code == "invalid_input"
    quick = Backoff(tries=2, first=0.01)
    with pytest.raises(NotReachable):
        Client("http://127.0.0.1:9", "http://127.0.0.1:9", token="x", backoff=quick).follow(print, patience=0.5)


# The mirror.


def history_of(directory: Path, user_id: int) -> dict[str, bytes]:
    """Every file of a user's history, by its name in it."""
    root = directory / "history" / str(user_id)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def same_as_backup(mirror: Path, system: System, user_id: int) -> bool:
    return history_of(mirror, user_id) == history_of(system.backup_dir, user_id)


def left_out_by(mirror: Path, user_id: int) -> set[tuple[int, str]]:
    """Document and type of what the mirror says it could not have."""
    path = mirror / "left_out.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    events = [json.loads(line)["event"] for line in lines]
    return {(event["id"], event["type"]) for event in events if event["user_id"] == user_id}


def busy_life(client: Client, tmp_path: Path, rounds: int) -> None:
    """Documents that are saved, changed, renamed, deleted and restored."""
    for n in range(rounds):
        file_id = save(client, tmp_path, f"dokumént {n}.txt", f"content {uuid.uuid4()}")
        content = tmp_path / "content"
        content.write_text("the same for all")
        client.replace(file_id, content)
        client.rename(file_id, f"renamed-{n}.txt")
        client.delete(file_id)
        if n % 2:
            client.restore(file_id)


def test_a_mirror_is_the_backup_byte_for_byte(
    system: System,
    admin: Administrator,
    anna: Person,
    hers: Client,
    tmp_path: Path,
    proxy: CuttingProxy,
    stopping: list[Program],
) -> None:
    """Every version and every tombstone, also after kills and cuts while changes pour in; a second run adds nothing."""
    mirror = tmp_path / "mirror"
    busy_life(hers, tmp_path, 4)
    program = admin.start(tmp_path / "mirror.log", "watch", "--admin", "--mirror", mirror)
    stopping.append(program)
    wait_until(lambda: len(history_of(mirror, anna.id)) > 10, 30)
    busy_life(hers, tmp_path, 2)
    proxy.cut()
    busy_life(hers, tmp_path, 2)
    program.stop(signal.SIGKILL)
    busy_life(hers, tmp_path, 2)
    program = admin.start(tmp_path / "mirror2.log", "watch", "--admin", "--mirror", mirror)
    stopping.append(program)
    busy_life(hers, tmp_path, 2)
    wait_until(lambda: same_as_backup(mirror, system, anna.id), 60, 0.3)
    program.send(signal.SIGTERM)
    assert program.wait(20) == 0
    before = history_of(mirror, anna.id)
    [told] = admin.json("watch", "--admin", "--mirror", mirror, "--once")
    assert told == {"mirrored": 0}
    assert history_of(mirror, anna.id) == before
    assert left_out_by(mirror, anna.id) == set()
    assert list((mirror / "incoming").iterdir()) == []


def test_a_mirror_says_what_it_can_never_have(
    system: System, admin: Administrator, anna: Person, hers: Client, tmp_path: Path
) -> None:
    """A document that was removed for good before it was mirrored is named, and holds nobody up."""
    gone = save(hers, tmp_path, "gone.txt", "secret")
    wait_until(lambda: hers.file(gone)["backup"]["state"] == "protected", 20, 0.2)
    hers.delete(gone)
    remove_for_good(hers, gone)
    kept = save(hers, tmp_path, "kept.txt", "kept")
    mirror = tmp_path / "mirror"
    admin.run("watch", "--admin", "--mirror", mirror, "--once")
    assert left_out_by(mirror, anna.id) == {(gone, "File_create")}
    mirrored = sorted(name for name in history_of(mirror, anna.id))
    assert [name for name in mirrored if name.startswith(f"{gone}/")] == [
        f"{gone}/v000002.json",
        f"{gone}/v000003.json",
    ]
    assert len([name for name in mirrored if name.startswith(f"{kept}/")]) == 2


def remove_for_good(client: Client, file_id: int) -> None:
    client.transport.send(Call("DELETE", f"/files/{file_id}", [("permanent", "true")]))


def test_two_mirrors_of_one_directory_are_refused(
    admin: Administrator, tmp_path: Path, stopping: list[Program]
) -> None:
    """The second one says so."""
    program = admin.start(tmp_path / "mirror.log", "watch", "--admin", "--mirror", tmp_path / "mirror")
    stopping.append(program)
    wait_until(lambda: (tmp_path / "mirror" / "mirror.json").exists(), 30)
    assert "another process" in admin.error("watch", "--admin", "--mirror", tmp_path / "mirror", "--once", code=1)
