"""``nameko shell --config config.yml``: every call of CONTRACT section 6, as an operator types it."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docsave_services.storage import BlobStore
from docsave_services.storage.blobs import blob_key
from tests.e2e.shell import NamekoShell, RpcFailed
from tests.support.system import System
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

USER_FIELDS = {"id", "login", "name", "role", "active", "created_at", "updated_at"}
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def shell(system: System) -> Iterator[NamekoShell]:
    """A shell connected to the running system."""
    running = NamekoShell(system.shell_environment())
    try:
        yield running
    finally:
        status = running.close()
    assert status == 0, running.output()


@pytest.fixture
def user(shell: NamekoShell) -> dict[str, Any]:
    """A new account, made in the shell."""
    created: dict[str, Any] = shell.call("users.create", login=_login(), password=PASSWORD, name="Zoë 🌿")
    return created


@pytest.fixture
def blob(system: System) -> str:
    """The key of content that lies in the blob store, as the gateway leaves it there."""
    return _blob(system, os.urandom(100))


@pytest.fixture
def file(shell: NamekoShell, user: dict[str, Any], blob: str) -> dict[str, Any]:
    """A new file of ``user``, made in the shell."""
    created: dict[str, Any] = shell.call("files.create", user_id=user["id"], name="plan.txt", blob=blob)
    return created


def test_users_create_gives_the_account_without_its_password(shell: NamekoShell) -> None:
    """The account has the contract's fields and the values typed; its password is nowhere in the answer."""
    login = _login()
    created = shell.call("users.create", login=login, password=PASSWORD, name="Ann")
    assert set(created) == USER_FIELDS
    assert (created["login"], created["name"], created["role"], created["active"]) == (login, "Ann", "user", True)


def test_users_create_refuses_a_login_twice(shell: NamekoShell, user: dict[str, Any]) -> None:
    """The error is named LoginTaken, also when only the case differs."""
    assert _failure(shell, "users.create", login=user["login"].upper(), password=PASSWORD) == "LoginTaken"


def test_users_create_refuses_a_short_password(shell: NamekoShell) -> None:
    """The error is named InvalidInput."""
    assert _failure(shell, "users.create", login=_login(), password="short") == "InvalidInput"


def test_users_authenticate_knows_the_password(shell: NamekoShell, user: dict[str, Any]) -> None:
    """The right password gives the account; a wrong one and an unknown login fail alike with BadCredentials."""
    assert shell.call("users.authenticate", login=user["login"], password=PASSWORD) == user
    assert _failure(shell, "users.authenticate", login=user["login"], password="wrong " + PASSWORD) == "BadCredentials"
    assert _failure(shell, "users.authenticate", login=_login(), password=PASSWORD) == "BadCredentials"


def test_users_get_finds_an_account_by_its_id(shell: NamekoShell, user: dict[str, Any]) -> None:
    """What was created comes back; an id that nobody has is NotFound."""
    assert shell.call("users.get", user_id=user["id"]) == user
    assert _failure(shell, "users.get", user_id=2**31 - 1) == "NotFound"


def test_users_update_changes_what_is_typed(shell: NamekoShell, user: dict[str, Any]) -> None:
    """Name and password change, the rest stays; only the new password works afterwards."""
    changed = shell.call("users.update", user_id=user["id"], name='O\'Neil "Ö" 🎈', password="another " + PASSWORD)
    assert changed == {**user, "name": 'O\'Neil "Ö" 🎈', "updated_at": changed["updated_at"]}
    assert shell.call("users.authenticate", login=user["login"], password="another " + PASSWORD) == changed
    assert _failure(shell, "users.authenticate", login=user["login"], password=PASSWORD) == "BadCredentials"
    assert _failure(shell, "users.update", user_id=2**31 - 1, name="Nobody") == "NotFound"


def test_users_list_has_everybody(shell: NamekoShell, user: dict[str, Any], system: System) -> None:
    """The list has the first administrator and the new account, with the same fields as ``get``."""
    everybody = shell.call("users.list")
    assert user in everybody
    assert [one["role"] for one in everybody if one["login"] == system.admin_login] == ["admin"]


def test_files_create_makes_a_file_of_a_blob(shell: NamekoShell, user: dict[str, Any], system: System) -> None:
    """Size and hash are the blob's; the first version is 1."""
    content = os.urandom(321)
    key = _blob(system, content)
    created = shell.call("files.create", user_id=user["id"], name="a 'b' \"c\" 📄.bin", blob=key)
    assert (created["user_id"], created["name"], created["version"]) == (user["id"], "a 'b' \"c\" 📄.bin", 1)
    assert (created["size"], created["sha256"]) == (321, hashlib.sha256(content).hexdigest())
    assert created["path"] == key


def test_files_create_refuses_what_is_not_there(shell: NamekoShell, user: dict[str, Any], blob: str) -> None:
    """A blob that is not stored, a bad name and an unknown owner are named errors."""
    absent = blob_key(hashlib.sha256(uuid.uuid4().bytes).hexdigest())
    assert _failure(shell, "files.create", user_id=user["id"], name="a", blob=absent) == "BlobMissing"
    assert _failure(shell, "files.create", user_id=user["id"], name="a", blob="../../etc/passwd") == "BlobMissing"
    assert _failure(shell, "files.create", user_id=user["id"], name="a/b", blob=blob) == "InvalidInput"
    assert _failure(shell, "files.create", user_id=2**31 - 1, name="a", blob=blob) == "NotFound"


def test_files_get_finds_a_file_by_its_id(shell: NamekoShell, file: dict[str, Any]) -> None:
    """What was created comes back (how far its backup is aside); an unknown id is NotFound."""
    found = shell.call("files.get", file_id=file["id"])
    assert found == {**file, "backup": found["backup"]}
    assert _failure(shell, "files.get", file_id=2**31 - 1) == "NotFound"


def test_files_list_is_one_users(shell: NamekoShell, user: dict[str, Any], file: dict[str, Any], blob: str) -> None:
    """A user's list has that user's files only, page by page."""
    second = shell.call("files.create", user_id=user["id"], name="second.txt", blob=blob)
    first_page = shell.call("files.list", user_id=user["id"], limit=1)
    rest = shell.call("files.list", user_id=user["id"], after=first_page["next"])
    assert [one["id"] for one in first_page["items"] + rest["items"]] == [file["id"], second["id"]]
    assert rest["next"] is None
    assert _failure(shell, "files.list", user_id=user["id"], limit=0) == "InvalidInput"


def test_files_update_makes_a_new_version(shell: NamekoShell, file: dict[str, Any], system: System) -> None:
    """A new name is version 2, new content version 3; a file that does not exist is NotFound."""
    renamed = shell.call("files.update", file_id=file["id"], name="renamed.txt")
    rewritten = shell.call("files.update", file_id=file["id"], blob=_blob(system, b"new content"))
    assert (renamed["name"], renamed["version"], renamed["sha256"]) == ("renamed.txt", 2, file["sha256"])
    assert (rewritten["name"], rewritten["version"], rewritten["size"]) == ("renamed.txt", 3, 11)
    assert _failure(shell, "files.update", file_id=2**31 - 1, name="a") == "NotFound"


def test_files_delete_puts_a_file_into_the_trash(shell: NamekoShell, file: dict[str, Any]) -> None:
    """The deletion takes a version; afterwards the file is only in the trash's list, and deleting is NotFound."""
    deleted = shell.call("files.delete", file_id=file["id"])
    assert deleted["version"] == 2
    assert deleted["deleted_at"] is not None
    assert shell.call("files.list", user_id=file["user_id"])["items"] == []
    trash = shell.call("files.list", user_id=file["user_id"], deleted=True)["items"]
    assert [one["id"] for one in trash] == [file["id"]]
    assert _failure(shell, "files.delete", file_id=file["id"]) == "NotFound"


def test_files_changes_is_the_journal_in_order(shell: NamekoShell, file: dict[str, Any]) -> None:
    """From a cursor on, the changes of a file come in order and without a hole; a cursor of the future is refused."""
    before = shell.call("files.changes", since=_place_before(shell, file), limit=1)
    shell.call("files.update", file_id=file["id"], name="b.txt")
    shell.call("files.delete", file_id=file["id"])
    page = shell.call("files.changes", since=before["cursor"], limit=1000)
    assert [event["type"] for event in before["items"]] == ["File_create"]
    assert [(e["type"], e["id"], e["version"]) for e in page["items"]] == [
        ("File_update", file["id"], 2),
        ("File_delete", file["id"], 3),
    ]
    first = before["items"][0]["event_id"]
    assert [event["event_id"] for event in page["items"]] == [first + 1, first + 2]
    epoch = page["cursor"].partition(":")[0]
    assert _failure(shell, "files.changes", since=f"{epoch}:{10**12}") == "CursorExpired"
    assert _failure(shell, "files.changes", since=f"{uuid.uuid4()}:0") == "CursorExpired"


def test_backup_versions_tells_what_is_safe(shell: NamekoShell, file: dict[str, Any]) -> None:
    """Every version of a file is there within seconds, newest first, the deletion too; an unknown one is NotFound."""
    shell.call("files.update", file_id=file["id"], name="b.txt")
    shell.call("files.delete", file_id=file["id"])
    items = wait_until(lambda: _all_versions(shell, file["id"], 3), 30)
    assert [(one["version"], one["event"], one["name"]) for one in items] == [
        (3, "File_delete", "b.txt"),
        (2, "File_update", "b.txt"),
        (1, "File_create", "plan.txt"),
    ]
    assert {one["sha256"] for one in items} == {file["sha256"]}
    assert _failure(shell, "backup.versions", file_id=2**31 - 1) == "NotFound"


def test_backup_status_tells_how_far_it_has_come(shell: NamekoShell, file: dict[str, Any]) -> None:
    """The service is active, and within seconds nothing is left to copy and nothing fails."""
    status = wait_until(lambda: _caught_up(shell), 30)
    assert status["state"] == "active"
    assert status["failing"] == []
    assert status["cursor"] == status["head"]


def test_backup_verify_reads_everything_again(shell: NamekoShell, file: dict[str, Any], system: System) -> None:
    """A whole history has nothing damaged or missing; a changed copy is named with its file and version."""
    wait_until(lambda: _all_versions(shell, file["id"], 1), 30)
    report = shell.call("backup.verify")
    assert report["checked"] >= 1
    assert (report["damaged"], report["missing"]) == ([], [])
    copy = _copy_of(system, file)
    content = copy.read_bytes()
    try:
        _overwrite(copy, b"X" * len(content))
        damaged = shell.call("backup.verify")["damaged"]
    finally:
        _overwrite(copy, content)
    assert [(item["file_id"], item["version"]) for item in damaged] == [(file["id"], 1)]


@pytest.mark.parametrize("method", ["files.get", "users.get", "backup.versions"])
def test_a_call_with_wrong_arguments_is_an_error_by_name(shell: NamekoShell, method: str) -> None:
    """An argument that a method does not have is IncorrectSignature, and the service answers the next call."""
    assert _failure(shell, method, nothing=1) == "IncorrectSignature"
    assert _failure(shell, method, **{"user_id" if method == "users.get" else "file_id": "no id"}) == "NotFound"


def _login() -> str:
    return f"operator-{uuid.uuid4().hex[:10]}"


def _blob(system: System, content: bytes) -> str:
    staged = BlobStore(system.data_dir / "blobs").stage()
    staged.write(content)
    return staged.commit().key


def _failure(shell: NamekoShell, method: str, /, **arguments: Any) -> str:
    with pytest.raises(RpcFailed) as failure:
        shell.call(method, **arguments)
    return failure.value.name


def _place_before(shell: NamekoShell, file: dict[str, Any]) -> str:
    """The place in the journal just before the file was created; nothing else happens meanwhile."""
    epoch, _, number = shell.call("files.head")["cursor"].partition(":")
    return f"{epoch}:{int(number) - 1}"


def _all_versions(shell: NamekoShell, file_id: int, newest: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = shell.call("backup.versions", file_id=file_id)["items"]
    return items if len(items) == newest else []


def _caught_up(shell: NamekoShell) -> dict[str, Any]:
    status: dict[str, Any] = shell.call("backup.status")
    return status if status["lag_events"] == 0 and status["waiting"] == 0 else {}


def _copy_of(system: System, file: dict[str, Any]) -> Path:
    directory = system.backup_dir / "history" / str(file["user_id"]) / str(file["id"])
    return next(directory.glob(f"v{file['version']:06d}_*"))


def _overwrite(copy: Path, content: bytes) -> None:
    """As a failing disk would: the copy is read-only."""
    copy.chmod(0o644)
    copy.write_bytes(content)
    copy.chmod(0o444)
