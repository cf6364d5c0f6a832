"""One attack on a running system: people work, a fault happens and is healed, and then everything is compared."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import signal
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests

from docsave_services.errors import Unavailable
from tests.faults import checker
from tests.faults.diary import ANSWER_SECONDS, Diary, Outcome, Person, Request, new_person, password_of
from tests.faults.evidence import Evidence, collect, journal_over_rpc, read_rows
from tests.faults.listener import Listener
from tests.faults.load import Load
from tests.support.system import System
from tests.support.waiting import wait_until

RECOVERY_SECONDS = 60.0
"""Promised are 30 s; a test machine does other things at the same time."""

QUIET_SECONDS = 60.0
LOOK_SECONDS = 0.2
"""How often a condition that takes a look at all processes or all copies is looked at."""

TRY_SECONDS = 0.5
"""So long somebody waits who was not served, before trying again."""

PAGE = 20
VIOLATIONS_SHOWN_MAX = 20


class Target:
    """A system that one attack after the other is made on, and all that was ever asked of it."""

    def __init__(self, system: System, db_uri: str | None = None) -> None:
        self.system = system
        self.db_uri = db_uri or f"sqlite:///{system.data_dir}/docsave.sqlite3"
        self.requests: list[Request] = []
        self.uploads_killed = 0
        """How many uploads may have died with a gateway, each leaving an unfinished file."""

    def kill(self, program: str) -> None:
        """kill -9 of one program; the supervisor starts it again."""
        if program == "gateway":
            self.excuse_uploads_in_progress()
        killed = wait_until(lambda: self.system.kill(program, signal.SIGKILL), RECOVERY_SECONDS, LOOK_SECONDS)
        wait_until(lambda: self.system.pid_of(program) != killed, RECOVERY_SECONDS, LOOK_SECONDS)

    def excuse_uploads_in_progress(self) -> None:
        """The gateway is about to end: each upload that it receives may leave an unfinished file."""
        self.uploads_killed += sum(r.ended == float("inf") and r.sha256 is not None for r in self.requests)

    def wait_quiet(self) -> None:
        """Until every part answers and the backup holds and has reported all that the journal has."""
        self.system.wait_ready(RECOVERY_SECONDS)
        wait_until(self.backup_is_complete, QUIET_SECONDS, LOOK_SECONDS)

    def wait_protected(self, file_ids: Sequence[int], person: Person) -> None:
        """Until the copies of these documents' present versions are safe."""

        def protected(file_id: int) -> bool:
            return bool(person.get(f"/files/{file_id}").json()["backup"]["state"] == "protected")

        wait_until(lambda: all(protected(file_id) for file_id in file_ids), QUIET_SECONDS, LOOK_SECONDS)

    def collect(self) -> Evidence:
        """All that it keeps."""
        return collect(self.system.amqp_uri, self.db_uri, self.system.data_dir, self.system.backup_dir)

    def backup_is_complete(self) -> bool:
        """Whether the backup holds and has reported all that the journal has."""
        root, last = self.system.backup_dir, read_rows(self.db_uri).last
        place = {"copied": 0, "reported": 0}
        with contextlib.suppress(FileNotFoundError):  # nothing has ever been copied
            place = json.loads((root / "state" / "cursor.json").read_bytes())
        return place["copied"] == place["reported"] == last and not any(root.rglob(".tmp-*"))


class Attack:
    """Ann and Bob work at three desks each; both and the administrator listen."""

    def __init__(self, target: Target, seed: str, directory: Path, excused: frozenset[int] = frozenset()) -> None:
        """``excused`` are statuses that may come beside the usual ones; what they refuse must leave no trace."""
        self.target = target
        self.seed = seed
        self.rng = random.Random(seed)
        self._excused = excused
        self._may_expire = 401 in excused
        self._diary_path = directory / "diary.jsonl"
        self._tries = itertools.count()
        self.diary = Diary()
        self.diary.requests = _Shared(target.requests)
        system = target.system
        self.people = [new_person(system.base_url, self.diary) for _ in range(2)]
        self._admin = Person(system.base_url, system.admin_login, system.admin_password, Diary())
        self._first = read_rows(target.db_uri).last
        self.listeners = self._listen(journal_over_rpc(system.amqp_uri))
        run = f"{self.people[0].id}-{self.rng.randrange(10**6)}"
        self.load = Load(self.people, self.diary, self.rng, run)

    def _listen(self, journal: list[dict[str, Any]]) -> dict[str, Listener]:
        url = self.target.system.socket_url
        since = str(journal[-1]["cursor"]) if journal else "0"
        ann, bob = self.people
        expire = self._may_expire
        listeners = {
            "ann": Listener(url, "User_connect", ann.token, since, may_expire=expire),
            "bob": Listener(url, "User_connect", bob.token, since, "polling", expire),
            "admin": Listener(url, "Admin_connect", self._admin.token, since, may_expire=expire),
        }
        wait_until(lambda: all(one.connections for one in listeners.values()), 30)
        return listeners

    def strike(self, fault: Callable[[], None], portion: int) -> None:
        """Let ``fault`` happen at a random moment of ``portion`` requests; returns when all have ended."""
        with self.load.portion(portion):
            fault()

    def wait_served(self) -> None:
        """Until an upload is acknowledged again."""
        session = requests.Session()
        end = time.monotonic() + RECOVERY_SECONDS
        while True:
            name = f"{self.seed} {next(self._tries)} {uuid.uuid4().hex}.txt"
            request = self.people[0].upload(session, name.encode(), name)
            if request.outcome is Outcome.ACK:
                return
            assert time.monotonic() < end, f"{self.seed}: not recovered: {request}"
            time.sleep(TRY_SECONDS)

    def work_undisturbed(self, portion: int) -> float:
        """All is well again: within a minute every request of a ``portion`` has a definite answer, without any help.

        A busy machine may take longer than a call's deadline once; a system that has not recovered always does.
        Returns for how many seconds there were requests without a definite answer: 0.0 when every one had it at once.
        """
        self.target.system.wait_ready(RECOVERY_SECONDS)
        begun = last = time.monotonic()
        while uncertain := [r for r in self.load.complete(portion) if r.outcome is Outcome.UNKNOWN]:
            last = max(request.ended for request in uncertain)
            assert last < begun + RECOVERY_SECONDS, f"{self.seed}: not recovered: {uncertain[:3]}"
        return last - begun

    def assert_nothing_lost(self) -> None:
        """Wait for quiet and compare everything with everything."""
        self.load.stop()
        self.target.wait_quiet()
        self._wait_for_listeners()
        found = self.violations()
        if found:
            self._diary_path.parent.mkdir(parents=True, exist_ok=True)
            self.diary.write(self._diary_path)
            shown = "\n".join(found[:VIOLATIONS_SHOWN_MAX])
            raise AssertionError(f"{len(found)} violations, seed {self.seed}, diary {self._diary_path}:\n{shown}")

    def violations(self) -> list[str]:
        """What contradicts what."""
        evidence = self.target.collect()
        target, diary = self.target, self.diary
        return [
            *checker.check_answers(diary, self._excused),
            *checker.check_kept(evidence, diary, target.requests, target.uploads_killed),
            *self._check_recordings(evidence.journal),
            *[problem for person in self.people for problem in _check_api(person, evidence.journal)],
            *self._check_logins(),
        ]

    def close(self) -> None:
        """Everybody goes home."""
        self.load.stop()
        for listener in self.listeners.values():
            listener.leave()
        for listener in self.listeners.values():
            listener.wait_gone()

    def _expected(self, journal: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        since = [event for event in journal if event["event_id"] > self._first]
        ann, bob = ([e for e in since if e["user_id"] == person.id] for person in self.people)
        return {"ann": ann, "bob": bob, "admin": since}

    def _wait_for_listeners(self) -> None:
        expected = self._expected(journal_over_rpc(self.target.system.amqp_uri))
        lasts = {who: events[-1]["cursor"] for who, events in expected.items() if events}
        try:
            wait_until(lambda: all(self.listeners[who].place == last for who, last in lasts.items()), QUIET_SECONDS)
        except AssertionError:
            return  # the comparison says which event is missing, and of whom

    def _check_recordings(self, journal: list[dict[str, Any]]) -> list[str]:
        found = [problem for listener in self.listeners.values() for problem in listener.problems]
        for who, expected in self._expected(journal).items():
            found += checker.check_heard(who, self.listeners[who].heard, expected)
        return found

    def _check_logins(self) -> list[str]:
        logins = [r.name or "" for r in self.diary if r.act == "sign_up" and r.outcome is Outcome.ACK]
        return [f"{login} was acknowledged and cannot log in" for login in logins if not self._can_log_in(login)]

    def _can_log_in(self, login: str) -> bool:
        body = {"login": login, "password": password_of(login)}
        url = f"{self.target.system.base_url}/login"
        end = time.monotonic() + RECOVERY_SECONDS
        # A busy machine may not manage a password's hash within the deadline: that is no answer to the question.
        while (answer := requests.post(url, json=body, timeout=ANSWER_SECONDS)).status_code == Unavailable.status:
            if time.monotonic() >= end:
                return False
            time.sleep(TRY_SECONDS)
        return answer.ok


class _Shared(list[Request]):
    """A diary's requests that are also added to the target's, for the attacks that follow."""

    def __init__(self, everything: list[Request]) -> None:
        super().__init__()
        self._everything = everything

    def append(self, request: Request) -> None:
        super().append(request)
        self._everything.append(request)


def _check_api(person: Person, journal: list[dict[str, Any]]) -> list[str]:
    """The API lists exactly what the journal ends with, and gives the bytes and the state of the backup."""
    state = {event["id"]: event for event in journal if event["user_id"] == person.id}
    living = {file_id: event for file_id, event in state.items() if event["type"] != "File_delete"}
    listed = {item["id"]: item for item in _all_files(person)}
    found = [f"the list lacks file {file_id}" for file_id in sorted(set(living) - set(listed))]
    found += [f"the list has file {file_id} too much" for file_id in sorted(set(listed) - set(living))]
    for file_id, event in state.items():
        if file_id in living:
            found += _check_file(person, event, listed.get(file_id))
        elif person.get(f"/files/{file_id}").status_code != 404:
            found.append(f"deleted file {file_id} is still there")
    return found


def _check_file(person: Person, event: dict[str, Any], listed: dict[str, Any] | None) -> list[str]:
    shown = person.get(f"/files/{event['id']}").json()
    content = person.get(f"/files/{event['id']}/content")
    keys = ("id", "user_id", "name", "size", "sha256", "media_type", "version")
    found = []
    if any(shown.get(key) != event[key] for key in keys) or (listed is not None and listed != shown):
        found.append(f"the API shows {shown}, the journal says {event}")
    if content.status_code != 200 or checker.sha256(content.content) != event["sha256"]:
        found.append(f"the API gives other bytes ({content.status_code}) than {event}")
    if shown.get("backup") != {"state": "protected", "version": event["version"]}:
        found.append(f"file {event['id']} is not shown as protected: {shown}")
    return found


def _all_files(person: Person) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    after = None
    while True:
        page = person.get("/files", limit=PAGE, after=after).json()
        items += page["items"]
        after = page["next"]
        if after is None:
            return items
