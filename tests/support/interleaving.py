"""Two pieces of work that take turns, step by step, in every order of the form: some of one, some of the other, the
rest of the first, the rest of the second. Nothing depends on time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import eventlet
from eventlet.queue import LightQueue

STEPS_MAX = 500


class Actor:
    """Work that stops before each of its steps until it is told to go on."""

    _running: ClassVar[dict[Any, Actor]] = {}

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._go: LightQueue = LightQueue()
        self._stopped: LightQueue = LightQueue()
        self._thread: Any = None
        self.steps = 0
        self.done = False

    @classmethod
    def before(cls, function: Callable[..., Any], counts: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
        """``function`` with a stop before it when an actor calls it with arguments that ``counts`` says count."""

        def called(*args: Any, **kwargs: Any) -> Any:
            cls._stop(counts(*args))
            return function(*args, **kwargs)

        return called

    @classmethod
    def after(cls, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` with a stop after it."""

        def called(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            cls._stop(True)
            return result

        return called

    @classmethod
    def _stop(cls, counts: bool) -> None:
        actor = cls._running.get(eventlet.getcurrent())
        if actor is not None and counts:
            actor.steps += 1
            actor._stopped.put(None)
            actor._go.get()

    def take(self, steps: int = STEPS_MAX) -> None:
        """Go on until the stop after so many steps, or to the end."""
        for _ in range(steps):
            if self.done:
                return
            if self._thread is None:
                self._thread = eventlet.spawn(self._run)
            else:
                self._go.put(None)
            self._stopped.get()
        assert steps < STEPS_MAX, "the work has no end"

    def result(self) -> Any:
        """What the work returned; raises what it raised."""
        self.take()
        return self._thread.wait()

    def _run(self) -> Any:
        self._running[eventlet.getcurrent()] = self
        try:
            return self._work()
        finally:
            del self._running[eventlet.getcurrent()]
            self.done = True
            self._stopped.put(None)


def every_order(prepare: Callable[[], tuple[Actor, Actor]]) -> Iterator[tuple[Actor, Actor, str]]:
    """Both actors, at their ends, after each order in turn; ``prepare`` makes new ones for each."""
    for swapped in (False, True):
        first_steps = 0
        while True:
            second_steps, first_ended = 0, False
            while True:
                first, second = prepare()[:: -1 if swapped else 1]
                first.take(first_steps)
                first_ended = first.done
                second.take(second_steps)
                second_ended = second.done
                first.take()
                second.take()
                actors = (second, first) if swapped else (first, second)
                yield *actors, f"{'second' if swapped else 'first'} {first_steps}, other {second_steps}"
                if second_ended:
                    break
                second_steps += 1
            if first_ended:
                break
            first_steps += 1
