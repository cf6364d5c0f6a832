"""Blobs and copies that are damaged while nobody looks: what is read then is an error or the exact bytes, and
``verify`` names every one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from nameko.standalone.rpc import ServiceRpcProxy

from tests.faults.attack import Attack
from tests.faults.catalogue.fault import Fault, Place
from tests.faults.checker import sha256
from tests.faults.diary import Outcome

VICTIMS = 3


def _flip(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    _write(path, bytes(content))


def _truncate(path: Path, other: Path) -> None:
    _write(path, path.read_bytes()[:-1])


def _delete(path: Path, other: Path) -> None:
    path.unlink()


def _swap(path: Path, other: Path) -> None:
    _write(path, other.read_bytes())


def _write(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(mode)


DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "flipped": _flip,
    "truncated": _truncate,
    "deleted": _delete,
    "swapped": _swap,
}


class Damaged(Fault):
    """Some documents' blobs, or their copies, are not what they were; afterwards somebody puts them back."""

    def __init__(self, what: str, damage: str) -> None:
        super().__init__(f"{what}-{damage}")
        self._what = what
        self._damage = DAMAGES[damage]
        self._kept: list[tuple[Path, Path]] = []

    def inject(self, place: Place) -> None:
        """Done in ``look``, which knows the documents."""

    def look(self, place: Place, attack: Attack) -> list[str]:
        person, session = attack.people[0], requests.Session()
        made = [
            person.upload(session, f"{self.name} {attack.rng.random()}".encode(), f"{self.name}-{n}.txt")
            for n in range(VICTIMS + 1)
        ]
        if any(request.outcome is not Outcome.ACK for request in made):
            return [f"an upload was not acknowledged: {made}"]
        place.target.wait_protected([request.answer["id"] for request in made], person)
        paths = [self._path(place, request.answer) for request in made]
        for path in paths[:-1]:
            self._keep(path)
            self._damage(path, paths[-1])
        victims = [request.answer for request in made[:-1]]
        if self._what == "blob":
            return [problem for victim in victims for problem in _check_download(person, victim)]
        return _check_verified(place, victims)

    def heal(self, place: Place) -> None:
        for path, kept in self._kept:
            if path.exists():
                _write(path, kept.read_bytes())
            else:
                shutil.copy2(kept, path)
            kept.unlink()
        self._kept.clear()

    def _path(self, place: Place, file: dict[str, Any]) -> Path:
        key = Path(file["sha256"][:2], file["sha256"][2:4], file["sha256"])
        if self._what == "blob":
            return place.target.system.data_dir / "blobs" / key
        directory = place.target.system.backup_dir / "history" / str(file["user_id"]) / str(file["id"])
        (content,) = directory.glob("v000001_*")
        return content

    def _keep(self, path: Path) -> None:
        kept = path.parents[len(path.parents) - 3] / f"docsave-kept-{os.getpid()}-{len(self._kept)}"
        shutil.copy2(path, kept)
        self._kept.append((path, kept))


def _check_download(person: Any, file: dict[str, Any]) -> list[str]:
    try:
        answer = person.get(f"/files/{file['id']}/content")
    except requests.RequestException:
        return []  # broken off in the middle: no client takes that for the whole
    if answer.status_code == 200 and sha256(answer.content) != file["sha256"]:
        return [f"wrong bytes were given out as file {file['id']}"]
    if answer.status_code not in (200, 500, 503):
        return [f"a damaged blob is answered {answer.status_code}"]
    return []


def _check_verified(place: Place, files: list[dict[str, Any]]) -> list[str]:
    config = {"AMQP_URI": place.target.system.amqp_uri}
    with ServiceRpcProxy("backup", config, timeout=60) as backup:
        found = backup.verify()
    named = {(item["file_id"], item["version"]) for item in [*found["damaged"], *found["missing"]]}
    return [f"verify does not name file {file['id']}: {found}" for file in files if (file["id"], 1) not in named]


FAULTS: list[Fault] = [Damaged(what, damage) for what in ("blob", "copy") for damage in DAMAGES]
