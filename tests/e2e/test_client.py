"""The command line client against the running system: every command, and what broken connections do to it."""

import hashlib
import itertools
import json
import os
import re
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import eventlet
import pytest
import requests
from eventlet import wsgi

from docsave_client.backoff import Backoff
from docsave_client.client import Client
from docsave_client.errors import NotFound, NotLoggedIn, NotReachable, Refused
from docsave_client.session import InMemory, Session, log_in
from docsave_client.uploading import PART_BYTES, RESUMABLE_BYTES
from tests.e2e.command_line import PASSWORD, Person
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.programs import ROOT
from tests.support.system import System
from tests.support.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture
def anna(system: System, tmp_path: Path) -> Person:
    return Person(system, tmp_path / "anna")


@pytest.fixture
def proxy(system: System) -> Iterator[CuttingProxy]:
    with cutting_proxy(system.base_url) as proxy:
        yield proxy


@pytest.fixture
def away(system: System, tmp_path: Path, proxy: CuttingProxy) -> Person:
    """Somebody whose connection can be cut."""
    return Person(system, tmp_path / "away", proxy.url)


def file_of(tmp_path: Path, size: int, name: str = "big.bin") -> Path:
    path = tmp_path / name
    path.write_bytes(os.urandom(size))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_life_of_a_document(anna: Person, tmp_path: Path) -> None:
    """put, ls, get, history, rm, restore: what each prints is true, for people and for programs."""
    offer = tmp_path / "offer.txt"
    offer.write_text("900 EUR")
    assert "clients/acme/offer.txt" in anna.run("put", offer, "--folder", "clients/acme", "--label", "crm.deal=42")
    [file] = anna.json("ls", "--label", "crm.deal=42")
    assert (file["name"], file["folder"], file["labels"]) == ("offer.txt", "clients/acme", {"crm.deal": "42"})
    number = str(file["id"])
    offer.write_text("850 EUR")
    assert anna.json("put", offer, "--to", number, "--if-match", "v1")[0]["version"] == 2
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    anna.run("get", number, "-o", fetched)
    assert (fetched / "offer.txt").read_text() == "850 EUR"
    assert anna.run("rm", number) == f"{number} is in the trash\n"
    assert anna.json("ls") == []
    assert [f["id"] for f in anna.json("ls", "--deleted")] == [file["id"]]
    assert anna.json("restore", number)[0]["version"] == 4
    wait_until(lambda: [v["version"] for v in anna.json("history", number)] == [4, 3, 2, 1], 20, 0.3)
    assert anna.run("history", number).splitlines()[1].split()[0:3:2] == ["v3", "File_delete"]
    anna.run("get", number, "--version", "1", "-o", tmp_path / "first.txt")
    assert (tmp_path / "first.txt").read_text() == "900 EUR"
    assert anna.json("restore", number, "--version", "1")[0]["sha256"] == sha256(tmp_path / "first.txt")
    assert sorted(p.name for p in tmp_path.glob(".docsave*")) == []


def test_everything_is_as_it_was(anna: Person, tmp_path: Path) -> None:
    """A folder as of a moment: shown first, then done, in the words of the server; again there is nothing to do."""
    offer = tmp_path / "offer.txt"
    offer.write_text("900 EUR")
    file = anna.json("put", offer, "--folder", "clients/acme")[0]
    gone = anna.json("put", offer, "--folder", "clients/acme", "--name", "gone.txt")[0]
    number, then = str(file["id"]), gone["created_at"]
    offer.write_text("0 EUR")
    anna.run("put", offer, "--to", number)
    anna.run("rm", str(gone["id"]))
    new = anna.json("put", offer, "--folder", "clients/acme", "--name", "new.txt")[0]
    order = ("restore", "--folder", "clients/acme", "--at", then)
    wanted = {file["id"]: "changed", gone["id"]: "undeleted", new["id"]: "left"}
    assert {step["id"]: step["action"] for step in anna.json(*order, "--dry-run")} == wanted
    lines = anna.run(*order, "--trash-newer").splitlines()
    assert lines[0].split() == ["changed", number, "clients/acme/offer.txt", "(content)"]
    assert [line.split()[0] for line in lines] == ["changed", "undeleted", "trashed"]
    assert anna.json(*order) == []
    assert {f["name"]: f["size"] for f in anna.json("ls", "--folder", "clients/acme")} == {
        "offer.txt": 7,
        "gone.txt": 7,
    }
    anna.run("put", offer, "--to", number)
    assert anna.json("restore", number, "--at", then)[0]["version"] == 5
    assert anna.run(*order, "--user", "1", code=1) == ""
    for wrong in (("--dry-run", number), ("--at", then), ("--at", then, number, "--user", "all")):
        anna.run("restore", *wrong, code=2)


def test_exit_codes(anna: Person, tmp_path: Path) -> None:
    """Each way to fail has its code and one clear line; with --json that line is an object."""
    note = tmp_path / "note.txt"
    note.write_text("x")
    [file] = anna.json("put", note)
    number = str(file["id"])
    assert "If-Match" in anna.error("put", note, "--to", number, "--if-match", "v7", code=1)
    anna.run("put", code=2)
    anna.run("watch", "--mirror", tmp_path, code=2)
    assert anna.error("get", "2000000", code=4) == "docsave: There is nothing here."
    told = json.loads(anna.error("--json", "get", "2000000", code=4))["error"]
    assert (told["code"], told["status"]) == ("not_found", 404)
    assert "No such file" in anna.error("put", tmp_path / "none", code=7)
    assert "--force" in anna.error("get", number, "-o", note, code=7)
    wrong = anna.error("login", anna.url, "--login", anna.login, given="wrong horse", code=5)
    assert wrong == "docsave: Login or password is wrong."
    anna.run("logout")
    assert "docsave login" in anna.error("ls", code=5)
    assert "cannot be reached" in anna.error("login", "http://127.0.0.1:9", "--login", "a", given="b", code=3)


def test_secrets_stay_secret(anna: Person) -> None:
    """The file with the tokens is its owner's alone, and neither it nor any output has the password."""
    assert stat.S_IMODE(anna.login_file.stat().st_mode) == 0o600
    assert PASSWORD not in anna.login_file.read_text()
    help_text = anna.run("login", "--help")
    assert "--password" not in help_text


def test_a_session_is_refreshed_by_one_of_many(anna: Person, tmp_path: Path) -> None:
    """Commands that run at once share the session: a spent refresh token presented twice would end it."""
    kept = json.loads(anna.login_file.read_text())
    kept["tokens"]["expires_at"] = time.time() + 5
    anna.login_file.write_text(json.dumps(kept))
    running = [anna.start(tmp_path / f"{n}.log", "ls") for n in range(4)]
    assert [each.wait(30) for each in running] == [0] * 4
    after = json.loads(anna.login_file.read_text())
    assert after["tokens"]["refresh_token"] != kept["tokens"]["refresh_token"]
    assert after["tokens"]["expires_at"] > time.time() + 60
    assert stat.S_IMODE(anna.login_file.stat().st_mode) == 0o600


def test_a_key_logs_in(anna: Person) -> None:
    """An API key from standard input; one that is refused is not kept."""
    token = json.loads(anna.login_file.read_text())["tokens"]["access_token"]
    made = requests.post(
        f"{anna.url}/api-keys",
        json={"name": "backup", "scopes": ["files:read", "events:read"]},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    ).json()
    anna.error("login", anna.url, "--key", given="dsk_wrong_0123456789", code=5)
    anna.run("ls")
    anna.run("login", anna.url, "--key", given=made["key"])
    assert anna.run("ls") == ""
    assert "scope" in anna.error("rm", "1", code=1)


def test_an_answer_that_is_lost_makes_no_second_file(away: Person, proxy: CuttingProxy, tmp_path: Path) -> None:
    """The request is sent again under the same key until an answer arrives."""
    note = file_of(tmp_path, 100_000, "note.bin")
    proxy.cuts += [("received", 1), ("sent", 50_000), ("received", 1)]
    [file] = away.json("put", note)
    assert [f["id"] for f in away.json("ls")] == [file["id"]]
    assert (file["sha256"], file["version"]) == (sha256(note), 1)
    assert proxy.cuts == []


def test_an_upload_goes_on_after_breaks(away: Person, proxy: CuttingProxy, tmp_path: Path) -> None:
    """A large file over a line that breaks three times: one file, and only what was lost is sent again."""
    big = file_of(tmp_path, RESUMABLE_BYTES + 3 * MIB)
    proxy.cuts += [("sent", 11 * MIB), ("sent", 5 * MIB), ("received", 1), ("sent", 20 * MIB)]
    before = proxy.sent
    [file] = away.json("put", big, "--folder", "archive")
    assert (file["sha256"], file["folder"]) == (sha256(big), "archive")
    assert len(away.json("ls", "--folder", "archive")) == 1
    assert proxy.sent - before < big.stat().st_size + 4 * PART_BYTES
    assert list((away.home / "state" / "docsave" / "uploads").iterdir()) == []


def test_an_upload_goes_on_in_another_process(away: Person, proxy: CuttingProxy, tmp_path: Path) -> None:
    """Killed in the middle and started again: what the server has is not sent again."""
    big = file_of(tmp_path, RESUMABLE_BYTES + MIB)
    proxy.pause = 0.002
    first = away.start(tmp_path / "first.log", "put", big)
    wait_until(lambda: proxy.sent > 2.5 * PART_BYTES, 30)
    first.stop(signal.SIGKILL)
    proxy.pause = 0.0
    before = proxy.sent
    [file] = away.json("put", big)
    assert file["sha256"] == sha256(big)
    assert proxy.sent - before < big.stat().st_size - PART_BYTES
    assert len(away.json("ls")) == 1


def test_a_file_that_changes_is_not_mixed_up(away: Person, proxy: CuttingProxy, tmp_path: Path) -> None:
    """What was begun with other content is not gone on with."""
    big = file_of(tmp_path, RESUMABLE_BYTES)
    proxy.pause = 0.002
    first = away.start(tmp_path / "first.log", "put", big)
    wait_until(lambda: proxy.sent > 1.5 * PART_BYTES, 30)
    first.stop(signal.SIGKILL)
    proxy.pause = 0.0
    big.write_bytes(os.urandom(RESUMABLE_BYTES))
    [file] = away.json("put", big)
    assert file["sha256"] == sha256(big)


def test_a_download_goes_on_after_breaks(away: Person, anna: Person, proxy: CuttingProxy, tmp_path: Path) -> None:
    """Over a line that breaks, and in another process after a kill: complete, checked, and hardly anything twice."""
    big = file_of(tmp_path, 24 * MIB)
    [file] = away.json("put", big)
    target = tmp_path / "back.bin"
    proxy.cuts += [("received", 2000), ("received", 9 * MIB), ("received", 9 * MIB)]
    before = proxy.received
    away.run("get", str(file["id"]), "-o", target)
    assert target.read_bytes() == big.read_bytes()
    assert proxy.received - before < 24 * MIB + 3 * MIB
    part = tmp_path / f".docsave-{file['sha256'][:32]}.part"
    part.write_bytes(big.read_bytes()[: 20 * MIB])
    before = proxy.received
    away.run("get", str(file["id"]), "-o", target, "--force")
    assert target.read_bytes() == big.read_bytes()
    assert proxy.received - before < 5 * MIB
    assert not part.exists()


def test_damaged_content_is_never_kept(away: Person, proxy: CuttingProxy, tmp_path: Path) -> None:
    """Wrong bytes on the way, or in what an earlier try left: fetched again; always wrong: code 6 and no file."""
    big = file_of(tmp_path, MIB)
    [file] = away.json("put", big)
    target = tmp_path / "back.bin"
    part = tmp_path / f".docsave-{file['sha256'][:32]}.part"
    part.write_bytes(b"\0" * 1000)
    away.run("get", str(file["id"]), "-o", target)
    assert target.read_bytes() == big.read_bytes()
    target.unlink()
    proxy.mangle = lambda piece: piece[:-1] + b"\0" if len(piece) > 10_000 else piece
    assert "digest" in away.error("get", str(file["id"]), "-o", target, code=6)
    assert not target.exists()
    assert not part.exists()


def test_the_library(system: System, anna: Person, tmp_path: Path) -> None:
    """The same from Python: a session that renews itself, errors with their code, pages as one list."""
    client = Client(system.base_url, system.socket_url, login=anna.login, password=PASSWORD, state_dir=tmp_path)
    note = file_of(tmp_path, 10_000, "note.bin")
    seen: list[tuple[int, int]] = []
    file = client.upload(note, "renamed.bin", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10_000, 10_000)
    assert client.rename(file["id"], "again.bin")["version"] == 2
    with pytest.raises(Refused) as refused:
        client.rename(file["id"], "a/b")
    assert (refused.value.code, refused.value.status, refused.value.errors[0]["field"]) == (
        "invalid_input",
        422,
        "name",
    )
    assert [f["name"] for f in client.files(sort="-size")] == ["again.bin"]
    refreshed = Session(
        system.base_url, InMemory({**log_in(client.transport, anna.login, PASSWORD), "access_token": "x"})
    )
    assert Client(system.base_url, credential=refreshed).me()["login"] == anna.login
    client.delete(file["id"])
    with pytest.raises(NotFound):
        client.file(file["id"])
    with pytest.raises(NotLoggedIn):
        Client(system.base_url, token="x.y.z").me()


def test_the_example_of_the_documents(
    system: System, anna: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library's page works as typed."""
    page = (ROOT / "docs" / "client.md").read_text()
    [example] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for typed, here in [
        ("http://127.0.0.1:8000", system.base_url),
        ("http://127.0.0.1:8001", system.socket_url),
        ('login="anna"', f'login="{anna.login}"'),
    ]:
        assert typed in example
        example = example.replace(typed, here)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "offer.txt").write_text("900 EUR")
    exec(compile(example, "docs/client.md", "exec"), {})  # noqa: S102 - our own document
    said = capsys.readouterr().out
    assert "offer-final.txt 2" in said
    assert "not_found 404" in said
    assert "File_create offer.txt" in said
    assert (tmp_path / "back.txt").read_text() == "900 EUR"
    assert (tmp_path / "cursor").read_text().strip()


def test_an_absent_server_is_given_up() -> None:
    """Tries end: a server that only says 503, with a pause it asks for, and one that is not there."""
    quick = Backoff(tries=3, first=0.05, longest=0.1)
    with pytest.raises(NotReachable):
        Client("http://127.0.0.1:9", token="x", backoff=quick).me()
    asked: list[float] = []

    def busy(environ: dict, start_response: object) -> list[bytes]:
        asked.append(time.monotonic())
        start_response("503 Service Unavailable", [("Retry-After", "1"), ("Content-Type", "application/json")])  # type: ignore[operator]
        return [b'{"code":"unavailable","detail":"Later"}']

    listener = eventlet.listen(("127.0.0.1", 0))
    server = eventlet.spawn(wsgi.server, listener, busy, log_output=False)
    with pytest.raises(NotReachable, match="Later"):
        Client(f"http://127.0.0.1:{listener.getsockname()[1]}", token="x", backoff=quick).me()
    server.kill()
    assert len(asked) == 3
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(asked))
