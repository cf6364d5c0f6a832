"""Designs that lose data must not pass: each is built here, small, and found out by the same checks as docsave."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path, PurePosixPath
from typing import Any

import pymysql
import pytest
import requests

from tests.faults import checker
from tests.faults.attack import Target
from tests.faults.diary import Diary, new_person
from tests.faults.listener import Listener
from tests.faults.write_order import TRACED, broken_orders
from tests.support.mariadb import MariaDb
from tests.support.strace import Strace
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.process]


def _query(connection: pymysql.Connection, statement: str) -> list[dict[str, Any]]:
    cursor = connection.cursor(pymysql.cursors.DictCursor)
    cursor.execute(statement)
    return list(cursor.fetchall())


def test_a_naive_feed_is_found_out(mariadb: MariaDb) -> None:
    """``WHERE id > cursor`` over AUTO_INCREMENT: who got the lower number commits later, and is never read."""
    database = mariadb.fresh_uri().rpartition("/")[2].partition("?")[0]

    def connect(commits: bool) -> pymysql.Connection:
        return pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", database=database, autocommit=commits)

    reader, early, late = connect(True), connect(False), connect(False)
    _query(reader, "CREATE TABLE feed (event_id INT AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB")
    heard: list[dict[str, Any]] = []

    def read() -> None:
        cursor = heard[-1]["event_id"] if heard else 0
        heard.extend(_query(reader, f"SELECT event_id FROM feed WHERE event_id > {cursor} ORDER BY event_id"))  # noqa: S608

    _query(late, "INSERT INTO feed VALUES ()")
    _query(early, "INSERT INTO feed VALUES ()")
    early.commit()
    read()
    late.commit()
    read()
    everything = _query(reader, "SELECT event_id FROM feed ORDER BY event_id")
    for each in (reader, early, late):
        each.close()
    (said,) = checker.check_heard("the naive reader", heard, everything)
    assert "missing [1]" in said


class Forgetful(Listener):
    """Comes back after a break without saying where it was."""

    @property
    def place(self) -> str:
        return self.since if not self.connections else self._head()

    def _head(self) -> str:
        return str(self.journal[-1]["cursor"])

    journal: list[dict[str, Any]]


def test_a_listener_without_a_cursor_is_found_out(on_sqlite: Target) -> None:
    """Of two that lose their connection the one that gives its place misses nothing, the other misses the break."""
    system, diary = on_sqlite.system, Diary()
    person = new_person(system.base_url, diary)
    session = requests.Session()

    def upload(n: int) -> None:
        wait_until(lambda: person.upload(session, f"{person.id}-{n}".encode(), f"{n}.txt").status == 201, 30)

    upload(0)
    journal = _journal(person)
    careful = Listener(system.socket_url, "User_connect", person.token, "0")
    forgetful = Forgetful(system.socket_url, "User_connect", person.token, "0")
    forgetful.journal = journal
    wait_until(lambda: len(careful.heard) == len(forgetful.heard) == 1, 30)
    for one in (careful, forgetful):
        one.pause()
    upload(1)
    forgetful.journal = _journal(person)
    for one in (careful, forgetful):
        one.go_on()
    wait_until(lambda: careful.connections == forgetful.connections == 2, 60)
    upload(2)
    expected = _journal(person)
    wait_until(lambda: all(one.heard and one.heard[-1] == expected[-1] for one in (careful, forgetful)), 30)
    for one in (careful, forgetful):
        one.leave()
    assert checker.check_heard("the careful one", careful.heard, expected) == []
    (said,) = checker.check_heard("the forgetful one", forgetful.heard, expected)
    assert f"missing [{expected[1]['event_id']}]" in said


def _journal(person: Any) -> list[dict[str, Any]]:
    return list(person.get("/changes", limit=1000).json()["items"])


HASTY = {
    "no fsync": ("got its name before its bytes were synced", "", "sync(directory)"),
    "no fsync of the directory": ("told before the directory", "os.fsync(fd)", ""),
    "both": ("", "os.fsync(fd)", "sync(directory)"),
}


@pytest.mark.parametrize("store", HASTY)
def test_a_store_without_syncs_is_found_out(tmp_path: Path, store: str) -> None:
    """A small store, traced: without one of the two syncs the record says so, with both it says nothing."""
    problem, of_content, of_name = HASTY[store]
    program = f"""
        import os, socket, sys
        def sync(path):
            fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
        directory = sys.argv[1]
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        fd = os.open(directory + "/new", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"content")
        {of_content}
        os.close(fd)
        os.rename(directory + "/new", directory + "/blob")
        {of_name}
        client.send(b"201")
    """
    trace = ["strace", "-f", "-y", "-e", f"trace={TRACED}", "-o", str(tmp_path / "record")]
    command = [*trace, sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    subprocess.run(command, check=True, timeout=60)
    found = broken_orders((tmp_path / "record").read_text(errors="replace").splitlines(), str(tmp_path))
    assert (problem in found[0]) if problem else found == []


@pytest.mark.parametrize("service", ["gateway", "backup"])
def test_docsave_tells_nobody_before_it_would_survive_a_power_cut(on_sqlite: Target, service: str) -> None:
    """The real processes' record of uploads and copies: bytes, name, directory, and only then a word to anybody."""
    system = on_sqlite.system
    person, session = new_person(system.base_url, Diary()), requests.Session()
    on_sqlite.wait_quiet()
    root = str(system.data_dir / "blobs" if service == "gateway" else system.backup_dir / "history")
    strace = Strace(system.pid_of(service), None, options=("-y", "-s", "65536", "-e", f"trace={TRACED}"))
    try:
        for n in range(3):
            wait_until(
                lambda n=n: person.upload(session, f"{person.id} {n}".encode() * 1000, f"{n}.txt").status == 201, 30
            )
        on_sqlite.wait_quiet()
    finally:
        record = strace.stop().splitlines()
    assert sum("rename" in line and root in line for line in record) >= 3
    assert broken_orders(record, root, _sha256 if service == "gateway" else _file_id) == []


def _sha256(blob: str) -> str:
    """How the gateway speaks of a blob, to the files service as to the client: by its hash, its name in the store."""
    return PurePosixPath(blob).name


def _file_id(copy: str) -> str:
    """How the backup service reports a copy: history/<2>/<file id>/<version…>."""
    return rf"\"file_id\":{PurePosixPath(copy).parent.name},"
