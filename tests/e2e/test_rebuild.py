"""A company loses its machine: all that is left is the backup directory. Real processes, from SQLite to MariaDB."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from nameko.standalone.rpc import ClusterRpcProxy

from tests.e2e.accounts import Account, new_account
from tests.support.mariadb import MariaDb
from tests.support.programs import ROOT
from tests.support.system import System, SystemFactory
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PASSWORD = "a new pass phrase 17"


def command(module: str, system: System, *arguments: str, entered: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the operator's, with the system's settings."""
    settings = {**os.environ, **system.env}
    if (system.data_dir / "env").exists():
        settings.update(system.shell_environment())
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        cwd=ROOT,
        env=settings,
        input=entered,
        capture_output=True,
        text=True,
        check=False,
    )


def call(system: System, service: str, method: str, **arguments: Any) -> Any:
    with ClusterRpcProxy({"AMQP_URI": system.amqp_uri}, timeout=30) as cluster:
        return getattr(getattr(cluster, service), method)(**arguments)


def wait_copied(system: System) -> None:
    """Until every change is in the backup, and every account."""

    def copied() -> bool:
        status = call(system, "backup", "status")
        accounts = len(list((system.backup_dir / "accounts").glob("*.json")))
        return bool(status["lag_events"] == 0 and accounts == len(call(system, "users", "list")))

    wait_until(copied, 30, 0.2)


def drill(system: System) -> tuple[int, dict[str, Any]]:
    """A drill's status and its report."""
    result = command("backup.drill_command", system)
    drills = system.data_dir / "drills"
    reports = sorted(drills.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    assert reports, result.stderr
    assert not list(drills.glob("drill-*"))  # the scratch place is gone
    assert reports[-1].with_suffix(".md").exists()
    return result.returncode, json.loads(reports[-1].read_text())


def test_a_lost_machine_comes_back_from_its_backup_alone(new_system: SystemFactory, mariadb: MariaDb) -> None:
    """Drilled before, rebuilt after; people find what they had and go on, and so does the same directory."""
    old = new_system()
    old.start()
    old.wait_ready()
    anna, boris = (new_account(old.base_url, name) for name in ("anna", "boris"))
    offer = anna.save("offer é.txt", b"first")
    anna.replace(offer["id"], b"second, and longer")
    anna.rename(offer["id"], "Offer.txt")
    trashed = anna.save("trashed.txt", b"in the trash")
    anna.delete(trashed)
    boris.save("b.bin", os.urandom(300_000))
    wait_copied(old)
    logins = {user["id"]: user["login"] for user in call(old, "users", "list")}
    lists = {account.id: (account.documents(), account.documents(deleted="true")) for account in (anna, boris)}
    status, report = drill(old)
    assert (status, report["differences"], report["files"], report["accounts"]) == (0, [], 3, 3)
    copy = next(old.backup_dir.glob(f"history/{anna.id}/{offer['id']}/v000001_*"))
    original = copy.read_bytes()
    copy.chmod(0o600)
    copy.write_bytes(b"FIRST")
    status, report = drill(old)
    assert (status, report["differences_total"]) == (1, 1)
    assert copy.name in report["differences"][0]
    copy.write_bytes(original)
    copy.chmod(0o444)
    old.stop()
    shutil.rmtree(old.data_dir)

    uri = mariadb.fresh_uri()
    new = new_system(DOCSAVE_DB_URI=uri, DOCSAVE_BACKUP_DIR=str(old.backup_dir))
    new.backup_dir = old.backup_dir
    result = command("backup.rebuild_command", new)
    assert result.returncode == 0, result.stderr
    assert "rebuilt 3 documents (1 in the trash; 0 more were removed for good), 3 accounts, 6 changes" in result.stdout
    directories = f"DOCSAVE_BACKUP_DIR={old.backup_dir} DOCSAVE_DATA_DIR={new.data_dir}"
    assert f"1. {directories} make run\n" in result.stdout
    new.start()
    new.wait_ready()
    again: dict[int, Account] = {}
    for user_id in (anna.id, boris.id):
        reset = command("docsave_services.runtime.accounts", new, "reset-password", logins[user_id], entered=PASSWORD)
        assert reset.returncode == 0, reset.stderr
        again[user_id] = Account(new.base_url, logins[user_id], PASSWORD)
        assert (again[user_id].documents(), again[user_id].documents(deleted="true")) == lists[user_id]
    anna = again[anna.id]
    assert anna.download(offer["id"]).content == b"second, and longer"
    assert anna.download_version(offer["id"], 1).content == b"first"
    added = anna.save("new.txt", b"new")
    assert added["id"] > 1000
    assert anna.replace(offer["id"], b"third")["version"] == 4
    wait_copied(new)
    status = call(new, "backup", "status")
    assert (status["state"], status["failing"], status["lag_events"]) == ("active", [], 0)
    assert [v["version"] for v in anna.versions(offer["id"])] == [4, 3, 2, 1]
    report = call(new, "backup", "verify")
    assert (report["damaged"], report["missing"], report["journal_compared"]) == ([], [], True)
    status, report = drill(new)
    assert (status, report["differences"], report["files"], report["events"]) == (0, [], 4, 8)
    new.stop()
    mariadb.drop(uri)
