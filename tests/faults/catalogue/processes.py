"""Processes that are killed, stand still, are asked to end, or start in an unusual order."""

from __future__ import annotations

import os
import signal

import eventlet

from docsave_services.runtime.programs import SERVICES
from tests.faults.attack import LOOK_SECONDS, RECOVERY_SECONDS, Attack
from tests.faults.catalogue.fault import Fault, Place
from tests.support.stillness import hold_still
from tests.support.waiting import wait_until

STILL_SECONDS = 60.0


class Killed(Fault):
    """kill -9 of one service, twice."""

    times = 2

    def __init__(self, service: str) -> None:
        super().__init__(f"kill-{service}")
        self._service = service

    def inject(self, place: Place) -> None:
        place.target.kill(self._service)


class Still(Fault):
    """SIGSTOP of one service: the process is there, its connections too, and nothing moves."""

    def __init__(self, service: str, seconds: float = STILL_SECONDS) -> None:
        super().__init__(f"stand-still-{service}")
        self._service = service
        self._pid = 0
        self.hold_seconds = seconds

    def inject(self, place: Place) -> None:
        place.target.excuse_uploads_in_progress()  # who waits too long for the gateway hangs up in the middle
        self._pid = place.target.system.hold_still(self._service)

    def heal(self, place: Place) -> None:
        os.kill(self._pid, signal.SIGCONT)


class Stopped(Fault):
    """SIGTERM of the whole system under load, and a new start."""

    def __init__(self) -> None:
        super().__init__("stop-and-start")

    def inject(self, place: Place) -> None:
        system = place.target.system
        place.target.excuse_uploads_in_progress()  # a busy machine may end by force what would not end in time
        system.signal(signal.SIGTERM)
        assert system.wait_ended() == 0
        assert system.processes() == {}

    def heal(self, place: Place) -> None:
        place.target.system.start()


class Termed(Fault):
    """SIGTERM of one service under load: it finishes what it has begun, and is started again."""

    times = 2

    def __init__(self, service: str) -> None:
        super().__init__(f"end-{service}")
        self._service = service

    def inject(self, place: Place) -> None:
        system = place.target.system
        place.target.excuse_uploads_in_progress()
        ended = system.kill(self._service, signal.SIGTERM)
        wait_until(lambda: system.pid_of(self._service) != ended, RECOVERY_SECONDS, LOOK_SECONDS)


class Order(Fault):
    """Everything is killed, and comes back one after the other in a random order: the broker may be the last."""

    times = 2

    def __init__(self) -> None:
        super().__init__("order-of-starting")
        self._held: dict[str, int] = {}

    def inject(self, place: Place) -> None:
        system = place.target.system
        place.target.excuse_uploads_in_progress()
        programs = [*SERVICES, "broker"]
        before = {name: system.hold_still(name) for name in programs}
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        self._held = {}
        for name in programs:
            self._held[name] = wait_until(
                lambda name=name: _other_than(before[name], system.pid_of(name)), RECOVERY_SECONDS, LOOK_SECONDS
            )
            hold_still(self._held[name])

    def heal(self, place: Place) -> None:
        order = list(self._held)
        place.rng.shuffle(order)
        for name in order:
            os.kill(self._held[name], signal.SIGCONT)
            eventlet.sleep(place.rng.uniform(0.2, 3.0))  # how far they are apart is the fault


def _other_than(before: int, now: int) -> int:
    return now if now != before else 0


class ManyUpdates(Fault):
    """Fifty updates of one file at the same time, three times over: each is a version."""

    times = 3
    UPDATES = 50

    def __init__(self) -> None:
        super().__init__("fifty-updates-at-once")

    def inject(self, place: Place) -> None:
        """Done in ``look``, which knows the people."""

    def look(self, place: Place, attack: Attack) -> list[str]:
        import requests

        person = attack.people[0]
        mark = f"{attack.seed}-{attack.rng.random()}"
        file_id = person.upload(requests.Session(), f"{mark}-first".encode(), f"{mark}.txt").answer.get("id")
        if file_id is None:
            return ["the upload before fifty updates was not acknowledged"]
        pool = eventlet.GreenPool(self.UPDATES)
        contents = [f"{mark}-{n}".encode() for n in range(self.UPDATES)]
        made = list(pool.imap(lambda content: person.replace(requests.Session(), file_id, content), contents))
        refused = [request for request in made if request.status != 200]
        return [f"{len(refused)} of fifty updates at once were not acknowledged: {refused[0]}"] if refused else []


FAULTS: list[Fault] = [
    *(Killed(service) for service in SERVICES),
    *(Still(service) for service in SERVICES),
    *(Termed(service) for service in SERVICES),
    Stopped(),
    Order(),
    ManyUpdates(),
]
