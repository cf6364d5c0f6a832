"""Rebuilding from the backup directory alone, on both databases, without processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from backup.accounts import write_accounts
from backup.chain import NOTHING, Links
from backup.chain_adoption import adopt
from backup.chain_log import ChainWriter
from backup.drill import Drill
from backup.errors import Refused
from backup.history import History
from backup.holds import Holds
from backup.home import Home
from backup.progress import Place, read_place, write_place
from backup.rebuild import NotEmpty, Rebuild, Rebuilt
from backup.verify import Verification
from docsave_services.db import journal
from docsave_services.db.audit import Actor
from docsave_services.db.file_models import FileLabelRow, FileRefRow
from docsave_services.db.models import FileEventRow, FileRow, UserRow
from docsave_services.errors import BadCredentials
from docsave_services.files.changes import apply_changes
from docsave_services.files.holds import note_release
from docsave_services.files.past import PastQuery, list_past
from docsave_services.files.protection import copied_through
from docsave_services.files.usage import usage_of
from docsave_services.runtime.refounding import IDS_SKIPPED, Ground
from docsave_services.storage import BlobStore
from docsave_services.users import handlers
from tests.support.crashing import kill_at_each_step
from tests.support.documents import Documents
from tests.support.rebuilding import rebuild_in, rebuild_until_killed


class Lost:
    """A system whose database and blob store are gone, and the backup that it left."""

    def __init__(self, documents: Documents, directory: Path) -> None:
        self.documents = documents
        self.root = directory / "backup"
        self.root.mkdir()
        self.epoch = documents.db.read(journal.head).epoch
        (self.root / "docsave-backup.json").write_text(json.dumps({"store_id": "s", "epoch": self.epoch}))
        self.data_dir = directory / "new"
        self.ids = _live(documents)
        self.back_up()

    def back_up(self) -> None:
        """Copy everything, as the service does."""
        history = History(self.root, self.documents.store)
        self.events = self.documents.db.read(lambda s: journal.read(s, None, 1000, None))["items"]
        links = Links(0, NOTHING)
        for event in self.events:
            linked = links.take(event)
            assert linked is not None
            history.write(linked)
        write_place(self.root, self.epoch, Place(len(self.events), len(self.events)))
        write_accounts(self.root, handlers.page_users(self.documents.db, 1000, None, None)["items"])

    def entry(self, file_id: int, version: int) -> Path:
        """The JSON of a version."""
        [path] = self.root.glob(f"history/*/{file_id}/v{version:06d}.json")
        return path

    def rebuild(self, ground: Ground) -> Rebuilt:
        """Rebuild into an empty place."""
        return Rebuild(self.root, self.data_dir, ground).run(lambda: None)


def _live(documents: Documents) -> dict[str, int]:
    """Changes of every kind; the files' ids by their names."""

    def do(op: Any, **change: Any) -> dict[str, Any]:
        [outcome] = documents.apply({"op": op, "by": documents.user_id, **change}).outcomes
        assert outcome["ok"], outcome
        return dict(outcome["file"])

    def new(name: str, content: bytes, **more: Any) -> int:
        [outcome] = documents.apply({**documents.create(name, content), **more}).outcomes  # type: ignore[typeddict-item]
        return outcome["file"]["id"]

    ids = {
        "plain": new("plain é.txt", b"one", folder="a/b", labels={"kind": "offer"}),
        "trashed": new("trashed", b"in the trash"),
        "removed": new("removed", b"removed"),
        "equal": new("equal", b"one"),
    }
    do("update", file_id=ids["plain"], path=documents.blob(b"two"), media_type="text/plain")
    do("update", file_id=ids["plain"], name="Plain.txt", folder="c", labels={"kind": "order", "x": "y"})
    do("delete", file_id=ids["trashed"])
    do("remove", file_id=ids["removed"])
    reference = {"system": "crm", "key": "42", "name": "offer.pdf"}
    wanted = {"user_id": documents.user_id, "name": "offer.pdf", "path": documents.blob(b"offer"), "ref": reference}
    ids["saved"] = do("save", **wanted)["id"]
    do("update", file_id=ids["saved"], name="renamed.pdf")
    return ids


on_sqlite = pytest.mark.parametrize("database_uri", ["sqlite"], indirect=True)
"""For what does not depend on the database: two of them in MariaDB take long to make."""


@pytest.fixture
def lost(documents: Documents, tmp_path: Path) -> Lost:
    handlers.create_user(documents.db, "Zoë", "a long password", None, "admin")
    return Lost(documents, tmp_path)


@pytest.fixture
def new_uri(lost: Lost, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A second, empty database of the same kind."""
    if lost.documents.db_uri.startswith("sqlite"):
        yield f"sqlite:///{tmp_path}/second.sqlite3"
        return
    server = request.getfixturevalue("mariadb")
    uri = server.fresh_uri()
    yield uri
    server.drop(uri)


@pytest.fixture
def ground(new_uri: str) -> Iterator[Ground]:
    with Ground(new_uri) as ground:
        yield ground


def test_all_of_it_comes_back(lost: Lost, ground: Ground) -> None:
    """The journal under its numbers, every list of then and now, accounts, labels, references, usage; a new epoch."""
    old = lost.documents
    rebuilt = lost.rebuild(ground)
    assert rebuilt.problems == []
    db = ground._transactions
    events = db.read(lambda s: journal.read(s, None, 1000, None))["items"]
    assert [{**e, "cursor": ""} for e in events] == [{**e, "cursor": ""} for e in lost.events]
    head = db.read(journal.head)
    assert (head.event_id, head.epoch) == (len(lost.events), rebuilt.epoch)
    assert head.epoch != lost.epoch
    for deleted in (False, True):
        for place in range(1, len(lost.events) + 1):
            then, now = (
                [{**f, "backup": None} for f in list_past(d, PastQuery(f"{e}:{place}", None, deleted=deleted))["items"]]
                for d, e in ((old.db, lost.epoch), (db, head.epoch))
            )
            assert then == now
    before, after = (columns(d, FileRow) for d in (old.db, db))
    assert [{**row, "protected_version": row["version"]} for row in before] == after
    for table in (FileLabelRow, FileRefRow):
        before, after = (columns(d, table) for d in (old.db, db))
        # Every label that a document began with might have been a reference.
        assert all(row in after for row in before)
    assert usage(old.db, old.user_id) == usage(db, old.user_id)
    assert handlers.page_users(db, 1000, None, None) == handlers.page_users(old.db, 1000, None, None)
    assert db.read(copied_through) == len(lost.events)
    store = BlobStore(lost.data_dir / "blobs")
    for row in columns(db, FileRow):
        assert b"".join(store.read_verified(row["path"], row["size"]))
    assert {p.name for p in store.root.glob("??/??/*")} == {row["sha256"] for row in columns(db, FileRow)}


@on_sqlite
def test_holds_are_in_force_again(lost: Lost, ground: Ground) -> None:
    """What was held is not removed for good from the new system either; what was released is free; holds that cannot be
    read are named."""
    holds, user_id = Holds(lost.root), lost.documents.user_id
    for file_id, version in ((lost.ids["plain"], None), (lost.ids["plain"], 2), (lost.ids["equal"], 1)):
        holds.place(user_id, file_id, version, "lawsuit", 1)
    holds.release(lost.ids["equal"], 1, 1)
    (lost.root / "holds" / "99.json").write_text("nonsense")
    assert lost.rebuild(ground).problems == ["holds/99.json: the holds cannot be read"]
    store = BlobStore(lost.data_dir / "blobs")
    wanted: list[Any] = [{"op": "remove", "by": None, "file_id": lost.ids[name]} for name in ("plain", "equal")]
    kept, gone = apply_changes(ground._transactions, store, wanted).outcomes
    assert (kept["code"], gone["ok"]) == ("on_hold", True)
    for version in (None, 2):
        assert ground._transactions.write(lambda s, v=version: note_release(s, lost.ids["plain"], v, Actor()))
    assert apply_changes(ground._transactions, store, wanted[:1]).outcomes[0]["ok"]


def usage(db: Any, user_id: int) -> Any:
    return db.read(lambda s: usage_of(s, user_id))


def columns(db: Any, table: Any) -> list[dict[str, Any]]:
    """All rows of a table."""
    with db.engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table.__table__))]


def test_the_directory_goes_on_with_the_new_journal(lost: Lost, ground: Ground) -> None:
    """Marker and place are the new epoch's, the old one is remembered; new files get new ids, a reference its file."""
    rebuilt = lost.rebuild(ground)
    marker = json.loads((lost.root / "docsave-backup.json").read_text())
    assert (marker["store_id"], marker["epoch"]) == ("s", rebuilt.epoch)
    assert [(e["epoch"], e["through"]) for e in marker["earlier"]] == [(lost.epoch, len(lost.events))]
    home = Home(lost.root, lost.data_dir)
    assert home.is_recorded(home.require_marker())
    assert read_place(lost.root, rebuilt.epoch) == Place(len(lost.events), len(lost.events))
    db, store = ground._transactions, BlobStore(lost.data_dir / "blobs")
    staged = store.stage()
    staged.write(b"new")
    key = staged.commit().key
    user_id = lost.documents.user_id
    ref = {"system": "crm", "key": "42", "name": "offer.pdf"}
    changes = [
        {"op": "create", "by": user_id, "user_id": user_id, "name": "new", "path": key},
        {"op": "save", "by": user_id, "user_id": user_id, "name": "offer.pdf", "path": key, "ref": ref},
    ]
    created, saved = apply_changes(db, store, changes).outcomes  # type: ignore[arg-type]
    assert created["file"]["id"] > max(lost.ids.values()) + IDS_SKIPPED
    assert (saved["file"]["id"], saved["file"]["version"]) == (lost.ids["saved"], 3)
    assert handlers.create_user(db, "new", "a long password", None, "user")["id"] > user_id + IDS_SKIPPED
    assert db.read(journal.head).event_id == len(lost.events) + 2


@on_sqlite
def test_nobody_can_log_in_before_a_password_is_set(lost: Lost, ground: Ground) -> None:
    """Neither the old password nor none is good; an operator's new one is."""
    lost.rebuild(ground)
    db = ground._transactions
    for password in ("a long password", "", "!"):
        with pytest.raises(BadCredentials):
            handlers.authenticate(db, "zoë", password)
    row = db.read(lambda s: handlers.find_login(s, "zoë"))
    assert row is not None
    handlers.update_user(db, row.id, {"password": "quite another one"}, None, False)
    assert handlers.authenticate(db, "zoë", "quite another one")["role"] == "admin"


@on_sqlite
def test_what_is_lost_is_named_and_the_rest_comes_back(lost: Lost, ground: Ground) -> None:
    """Torn and missing entries, missing content, an unknown account, a copy that was under way: each has its line."""
    ids = lost.ids
    lost.entry(ids["plain"], 2).unlink()
    torn = lost.entry(ids["saved"], 2)
    torn.chmod(0o600)
    torn.write_text("{")
    for path in [
        *lost.root.glob(f"history/*/{ids['equal']}/*_equal"),
        *lost.root.glob(f"history/*/{ids['plain']}/*_p*"),
    ]:
        path.unlink()
    for path in lost.root.glob("objects/*/*/*"):
        if path.read_bytes() == b"one":
            path.unlink()
    under_way = lost.entry(ids["trashed"], 2).with_name("v000003_20260101T000000Z_trashed")
    under_way.write_bytes(b"half")
    (lost.root / "accounts" / f"{lost.documents.user_id}.json").unlink()
    rebuilt = lost.rebuild(ground)
    text_of = "\n".join(rebuilt.problems)
    for words in (
        f"{ids['plain']}: versions v000002 to v000002 are not there",
        f"{ids['saved']} v000002: the entry cannot be read",
        "'equal': the content is lost",
        "v000003_20260101T000000Z_trashed belongs to a version that is not complete",
        f"the login of user {lost.documents.user_id} is not known",
        "of the journal have no entry",
    ):
        assert words in text_of
    db = ground._transactions
    files = {f["id"]: f for f in list_past(db, PastQuery(str(db.read(journal.head)), None))["items"]}
    assert set(files) == {ids["plain"], ids["equal"], ids["saved"]}
    assert files[ids["plain"]]["version"] == 3
    assert files[ids["saved"]]["name"] == "offer.pdf"
    assert not under_way.exists()
    assert not torn.exists()
    assert len(list(lost.root.glob("damaged/**/v0*"))) == 3
    nameless = db.read(lambda s: s.get(UserRow, lost.documents.user_id))
    assert nameless is not None
    assert (nameless.login, nameless.active) == (f"lost-account-{nameless.id}", False)
    assert db.read(journal.head).event_id == len(lost.events)


@on_sqlite
def test_it_takes_nothing_that_is_not_empty(lost: Lost, ground: Ground, new_uri: str) -> None:
    """A database with an account, a store with content, a directory that a service writes to are left alone."""
    lock = Home(lost.root, lost.data_dir).lock()
    assert lock is not None
    with pytest.raises(Refused):
        lost.rebuild(ground)
    lock.release()
    blob = lost.data_dir / "blobs" / "ab" / "cd" / "x"
    blob.parent.mkdir(parents=True)
    blob.touch()
    with pytest.raises(NotEmpty):
        lost.rebuild(ground)
    blob.unlink()
    handlers.create_user(ground._transactions, "somebody", "a long password", None, "user")
    with pytest.raises(NotEmpty):
        lost.rebuild(ground)
    assert json.loads((lost.root / "docsave-backup.json").read_text())["epoch"] == lost.epoch


@on_sqlite
@pytest.mark.parametrize("where", ["content", "database", "marker"])
def test_interrupted_it_goes_on(lost: Lost, ground: Ground, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the database, in its transaction, or before the marker: the second run ends as one would."""

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    target = {
        "content": "backup.rebuild.Filler.found",
        "database": "docsave_services.runtime.refounding._Filling._write_heads",
        "marker": "backup.rebuild.write_place",
    }[where]
    with monkeypatch.context() as broken:
        broken.setattr(target, killed)
        with pytest.raises(KeyboardInterrupt):
            lost.rebuild(ground)
    rebuilt = lost.rebuild(ground)
    assert rebuilt.problems == []
    db = ground._transactions
    assert db.read(journal.head).event_id == len(lost.events)
    marker = json.loads((lost.root / "docsave-backup.json").read_text())
    assert marker["epoch"] == rebuilt.epoch == db.read(journal.head).epoch
    assert len(marker["earlier"]) == 1
    assert not (lost.data_dir / "rebuilding.json").exists()
    with pytest.raises(NotEmpty):
        lost.rebuild(ground)


EVERY = 11
"""Of the steps of a rebuild, one in so many is tried: all of them take two minutes."""


@on_sqlite
def test_killed_at_any_step_it_goes_on(lost: Lost, tmp_path: Path) -> None:
    """Whatever a kill leaves, the same command ends as an undisturbed one does, or says that it had ended."""
    runs = tmp_path / "runs"
    shutil.copytree(lost.root, runs / "0" / "backup")
    with Ground(f"sqlite:///{runs}/0/new.sqlite3"):
        pass  # migrated
    steps = kill_at_each_step(runs, rebuild_until_killed, every=EVERY)
    assert steps > 20
    for place in (runs / str(number) for number in range(1, steps, EVERY)):
        ended = not (place / "data" / "rebuilding.json").exists() and (place / "data" / "backup-store.json").exists()
        if ended:
            with pytest.raises(NotEmpty):
                rebuild_in(place)
        else:
            assert rebuild_in(place).problems == []
        store = BlobStore(place / "data" / "blobs")
        with Ground(f"sqlite:///{place}/new.sqlite3") as ground:
            head = ground.head()
            for row in ground._transactions.read(lambda s: list(s.scalars(select(FileRow)))):
                assert store.reuse(row.path) == row.size
        marker = json.loads((place / "backup" / "docsave-backup.json").read_text())
        assert (head.event_id, head.epoch, len(marker["earlier"])) == (len(lost.events), marker["epoch"], 1)
        assert Home(place / "backup", place / "data").require_marker().epoch == head.epoch


@on_sqlite
def test_what_is_there_twice_counts_once(lost: Lost, ground: Ground) -> None:
    """An entry with another's number: named, and no failure."""
    entry = lost.entry(lost.ids["equal"], 1)
    event = json.loads(entry.read_text())
    other = entry.parent.with_name("900")
    other.mkdir()
    (other / entry.name).write_text(json.dumps({**event, "id": 900}))
    rebuilt = lost.rebuild(ground)
    assert [p for p in rebuilt.problems if "twice" in p] == [
        f"event {event['event_id']} is there twice: only the first counts"
    ]
    assert ground._transactions.read(lambda s: s.get(FileRow, 900)) is None
    with ground._transactions.engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM file_event")).scalar() == len(lost.events)


@on_sqlite
def test_a_lost_event_never_holds_up_the_backup(lost: Lost, ground: Ground) -> None:
    """A hole in the journal, and neither place nor chain: it goes on behind the hole, and the chain still holds."""
    lost.entry(lost.ids["plain"], 2).unlink()
    for path in lost.root.glob(f"history/*/{lost.ids['plain']}/v000002_*"):
        path.unlink()
    rebuilt = lost.rebuild(ground)
    last = len(lost.events)
    (lost.root / "state" / "cursor.json").unlink()
    assert read_place(lost.root, rebuilt.epoch) == Place(last, last)
    assert read_place(lost.root, lost.epoch) == Place()
    chain = ChainWriter(lost.root, last)
    assert adopt(lost.root, chain, last) == last
    lines = list(chain.view.lines(1, last))
    assert [line is not None and line.is_vouched_for for line in lines].count(False) == 1
    report = Verification(lost.root, copied=last).run()
    assert report["damaged"] == []
    assert {(f["file_id"], f["version"]) for f in report["missing"]} <= {(lost.ids["plain"], 2)}


def call_on(lost: Lost) -> Callable[..., Any]:
    """What a drill asks of the running system, answered by the database that is not lost yet."""
    db = lost.documents.db
    answers: dict[str, Callable[..., Any]] = {
        "status": lambda: {"cursor": f"{lost.epoch}:{len(lost.events)}", "state": "active", "reason": None},
        "changes": lambda since, limit: db.read(lambda s: journal.read(s, since, limit, None)),
        "list_past": lambda **asked: list_past(db, PastQuery(user_id=None, **asked)),
        "list": lambda limit, after: handlers.page_users(db, limit, after, None),
    }
    return lambda _, method, **arguments: answers[method](**arguments)


@on_sqlite
def test_a_drill_finds_what_would_not_come_back(lost: Lost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes on a sound backup; then each kind of difference has its line. It changes nothing and leaves nothing."""
    monkeypatch.setattr("backup.drill.ACCOUNTS_SECONDS", 0)
    before = {path: path.stat().st_mtime_ns for path in lost.root.rglob("*")}
    # What was copied later than the place is not compared.
    [later] = lost.documents.apply(lost.documents.create("later")).events
    History(lost.root, lost.documents.store).write(later)
    drilled = Drill(lost.root, call_on(lost)).run(tmp_path / "drills")
    assert (drilled.differences, drilled.passed) == ([], True)
    assert (drilled.events, drilled.files, drilled.accounts) == (len(lost.events), 4, 2)
    assert list((tmp_path / "drills").iterdir()) == []
    with lost.documents.db.engine.begin() as connection:
        of_file = FileEventRow.file_id == lost.ids["equal"]
        connection.execute(update(FileEventRow).where(of_file).values(name="other"))
        connection.execute(update(UserRow).where(UserRow.id == 1).values(name="other"))
    lost.entry(lost.ids["saved"], 2).unlink()
    drilled = Drill(lost.root, call_on(lost)).run(tmp_path / "drills")
    found = set(drilled.differences)
    assert {
        f"event {len(lost.events)} did not come back",
        f"document {lost.ids['equal']} differs in name",
        f"document {lost.ids['saved']} differs in name, updated_at, version",
        "account 1 differs in name",
    } <= found
    assert drilled.differences_total == len(drilled.differences)
    assert {path: path.stat().st_mtime_ns for path in before if path.is_file()} == {
        path: before[path] for path in before if path.is_file()
    }
