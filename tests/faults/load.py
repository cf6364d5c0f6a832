"""Several people work at the same time, in portions, so that a fault can be placed inside one."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import eventlet
import requests

from tests.faults.diary import FORBIDDEN_NAME, Diary, Outcome, Person, Request
from tests.support.waiting import wait_until

WORKERS = 6
PORTION_SECONDS = 90.0
"""A portion whose every request waits for its deadline takes this long at most."""

BACK_OFF_SECONDS = (0.1, 0.5)
"""How long a client waits after an answer that does not say what happened."""

SMALL_BYTES = 20_000
LARGE_BYTES = 2_500_000
"""Large enough that a part of it lies in the staging directory before the rest arrives."""

_ACTS = {"upload": 40, "replace": 25, "rename": 12, "delete": 8, "doomed": 12, "sign_up": 3}


class Worker:
    """One person at one desk: their own documents, one request after the other, chosen by ``rng``."""

    def __init__(self, person: Person, rng: random.Random, name: str) -> None:
        self._person = person
        self._rng = rng
        self._name = name
        self._numbers = 0
        self._mine: list[int] = []
        self._gone: list[int] = []
        self._session = requests.Session()

    def one(self) -> Request:
        """Make one request of the mix, and remember which documents it leaves."""
        (act,) = self._rng.choices(list(_ACTS), list(_ACTS.values()))
        if act in ("replace", "rename", "delete") and not self._mine:
            act = "upload"
        request: Request = getattr(self, f"_{act}")()
        if request.act == "upload" and request.outcome is Outcome.ACK:
            self._mine.append(request.answer["id"])
        if request.act == "delete" and request.file_id in self._mine:
            self._mine.remove(request.file_id)
            if request.outcome is Outcome.ACK:
                self._gone.append(request.file_id)
        return request

    def _upload(self) -> Request:
        return self._person.upload(self._session, self.new_content(), self._new_name())

    def _replace(self) -> Request:
        return self._person.replace(self._session, self._rng.choice(self._mine), self.new_content())

    def _rename(self) -> Request:
        return self._person.rename(self._session, self._rng.choice(self._mine), self._new_name())

    def _delete(self) -> Request:
        return self._person.delete(self._session, self._rng.choice(self._mine))

    def _sign_up(self) -> Request:
        return self._person.sign_up(self._session, self._new_name())

    def _doomed(self) -> Request:
        """A request that must be refused: a name that is not allowed, a document that is not there any more."""
        person, session = self._person, self._session
        missing = self._rng.choice(self._gone) if self._gone else 2**31 - 1
        choices: list[Callable[[], Request]] = [
            lambda: person.upload(session, self.new_content(), FORBIDDEN_NAME),
            lambda: person.rename(session, missing, self._new_name(), doomed=True),
            lambda: person.replace(session, missing, self.new_content(), doomed=True),
            lambda: person.delete(session, missing, doomed=True),
        ]
        if self._mine:
            choices.append(lambda: person.rename(session, self._rng.choice(self._mine), FORBIDDEN_NAME))
        return self._rng.choice(choices)()

    def _new_name(self) -> str:
        self._numbers += 1
        return f"{self._name}-{self._numbers}.txt"

    def new_content(self) -> bytes:
        """Never the same twice: equal content would hide which request it came from."""
        self._numbers += 1
        size = self._rng.randrange(LARGE_BYTES) if self._rng.random() < 0.06 else self._rng.randrange(SMALL_BYTES)
        return f"{self._name}-{self._numbers}\n".encode() + self._rng.randbytes(size)


class Load:
    """``WORKERS`` workers that wait for portions of requests."""

    def __init__(self, people: Sequence[Person], diary: Diary, rng: random.Random, run: str) -> None:
        self._diary = diary
        self._rng = rng
        self._permits = threading.Semaphore(0)
        self._wanted = 0
        self._begun = 0
        self._done = 0
        self._stopped = False
        self._failures: list[Exception] = []
        workers = [Worker(people[n % len(people)], random.Random(rng.random()), f"{run}-{n}") for n in range(WORKERS)]
        self._threads = [
            threading.Thread(target=self._work, args=(worker, random.Random(rng.random())), daemon=True)
            for worker in workers
        ]
        for thread in self._threads:
            thread.start()

    @contextlib.contextmanager
    def portion(self, size: int) -> Iterator[None]:
        """``size`` requests. The block begins at a random moment of theirs; they are all answered when it is left."""
        self._wanted += size
        self._permits.release(size)
        moment = self._begun + self._rng.randrange(1, max(2, size // 2))
        wait_until(lambda: self._begun >= moment, PORTION_SECONDS, 0.005)
        eventlet.sleep(self._rng.uniform(0, 0.03))  # also between the beginnings of two requests
        yield
        wait_until(lambda: self._done >= self._wanted, PORTION_SECONDS)
        if self._failures:
            raise self._failures[0]

    def complete(self, size: int) -> list[Request]:
        """``size`` requests from beginning to end."""
        first = len(self._diary.requests)
        with self.portion(size):
            pass
        return self._diary.requests[first:]

    def stop(self) -> None:
        """Send the workers home."""
        self._stopped = True
        self._permits.release(WORKERS)
        for thread in self._threads:
            thread.join(PORTION_SECONDS)

    def _work(self, worker: Worker, rng: random.Random) -> None:
        while self._permits.acquire() and not self._stopped:
            self._begun += 1
            try:
                request = worker.one()
            except Exception as exc:  # an error of the test itself: shown when the portion ends
                self._failures.append(exc)
                self._done += 1
                continue
            if request.outcome is Outcome.UNKNOWN:
                time.sleep(rng.uniform(*BACK_OFF_SECONDS))
            if request.never_left:  # it does not count: a closed door would use up the portion in no time
                self._begun -= 1
                self._permits.release()
            else:
                self._done += 1
