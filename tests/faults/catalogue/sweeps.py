"""One request, killed at its first system call of a kind, at the second, the third… until it gets through.

Each time the process comes back by itself, the request is repeated, and there must be exactly one effect.
strace counts calls for each thread, so the attacked service has one thread for its files; ``sendto`` is counted in the
first thread alone, which talks to the broker, the database and the client.
"""

from __future__ import annotations

import itertools
import uuid

import requests

from tests.faults.attack import LOOK_SECONDS, RECOVERY_SECONDS, Attack, Target
from tests.faults.catalogue.fault import Fault, Place, Struck
from tests.faults.diary import Outcome, Request
from tests.support.strace import Strace
from tests.support.waiting import wait_until

POSITIONS_MAX = 80
REPEATS_MAX = 10
SETTLE_SECONDS = 0.8
"""After the answer: what a service still does for a request when its client has been told."""

CALLS = {
    "write": "write,writev,pwrite64",
    "fsync": "fsync,fdatasync",
    "rename": "rename,renameat,renameat2,link,linkat,unlink",
    "send": "sendto,sendmsg",
}


class Sweep(Fault):
    """kill -9 of a service at each write, each fsync, each rename or each send of one upload, update or deletion."""

    stage = "one thread"

    def __init__(self, service: str, act: str, kind: str) -> None:
        super().__init__(f"sweep-{service}-{act}-{kind}")
        self._service = service
        self._act = act
        self._kind = kind
        self.positions = 0
        """At how many calls it was killed, the last time."""

    def strike(self, place: Place, attack: Attack) -> Struck:
        struck = Struck()
        for position in range(1, POSITIONS_MAX):
            request = self._begin(attack, position)
            if not self._kill_at(place, attack, position, request, struck):
                self.positions = position - 1
                return struck
        struck.found.append(f"still killed at call {POSITIONS_MAX} of {self._kind}")
        return struck

    def _begin(self, attack: Attack, position: int) -> _Act:
        """What is to be done, and the document it is done to, which nothing disturbs."""
        act = _Act(self._act, attack, position)
        act.prepare()
        return act

    def _kill_at(self, place: Place, attack: Attack, position: int, act: _Act, struck: Struck) -> bool:
        """Whether the service was killed."""
        target = place.target
        if self._service == "backup":
            _wait_copied(target)  # what came before must not use up the calls
        strace = Strace(
            target.system.pid_of(self._service),
            f"{CALLS[self._kind]}:signal=SIGKILL:when={position}",
            threads=self._kind != "send",
        )
        try:
            request = act.once()
            killed = _ends(strace, target) if self._service == "backup" else _ends(strace)
        finally:
            strace.stop()
        if not killed:
            return False
        if self._service == "gateway":
            target.uploads_killed += request.sha256 is not None
        wait_until(lambda: target.system.pid_of(self._service), RECOVERY_SECONDS, LOOK_SECONDS)
        struck.healed(attack)
        for _ in range(REPEATS_MAX):
            if request.outcome is not Outcome.UNKNOWN:
                return True
            request = act.once()
        struck.found.append(f"{REPEATS_MAX} repetitions had no answer: {request}")
        return True


class _Act:
    """One request that can be repeated as it is."""

    def __init__(self, act: str, attack: Attack, position: int) -> None:
        self._act = act
        self._person = attack.people[0]
        self._session = requests.Session()
        self._name = f"{uuid.uuid4().hex}.txt"
        size = attack.rng.choice((10, 5_000, 300_000))
        self._content = f"{self._name} {position}\n".encode() + attack.rng.randbytes(size)
        self._file_id = 0

    def prepare(self) -> None:
        if self._act != "upload":
            made = self._person.upload(self._session, b"before " + self._content, self._name)
            assert made.outcome is Outcome.ACK, made
            self._file_id = made.answer["id"]

    def once(self) -> Request:
        person, session = self._person, self._session
        if self._act == "upload":
            return person.upload(session, self._content, self._name, key=self._name)
        if self._act == "update":
            return person.replace(session, self._file_id, self._content)
        return person.delete(session, self._file_id)


def _ends(strace: Strace, until_copied: Target | None = None) -> bool:
    """Whether the watched process is killed before it has come to the end of its work."""
    try:
        if until_copied is not None:
            wait_until(lambda: not strace.running or until_copied.backup_is_complete(), RECOVERY_SECONDS, LOOK_SECONDS)
        wait_until(lambda: not strace.running, SETTLE_SECONDS)
    except AssertionError:
        return not strace.running
    return True


def _wait_copied(target: Target) -> None:
    wait_until(target.backup_is_complete, RECOVERY_SECONDS, LOOK_SECONDS)


FAULTS: list[Fault] = [
    *(
        Sweep(service, act, kind)
        for service, act, kind in itertools.product(("gateway", "files"), ("upload", "update", "delete"), CALLS)
        if (service, kind) != ("files", "rename")
    ),
    *(Sweep("backup", act, kind) for act in ("upload", "delete") for kind in CALLS),
]
