"""Calls that travel together. One RPC costs about 2 ms and a commit 1 ms: one by one they end at some 370 a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import eventlet
from eventlet.event import Event
from eventlet.hubs import get_hub
from eventlet.semaphore import Semaphore

from docsave_services import tracing
from docsave_services.contracts import RPC_DEADLINE_SECONDS
from docsave_services.errors import DocsaveError, InternalError, RpcTimeout, Unavailable
from docsave_services.log import get_logger
from gateway_http.limits import BATCH_MAX, FLIGHTS_MAX, PATIENCE_SECONDS, QUEUE_MAX

_log = get_logger(__name__)

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


@dataclass(slots=True, eq=False)
class _Waiter(Generic[ItemT]):
    item: ItemT
    done: Any = field(default_factory=Event)
    traceparent: str | None = field(default_factory=tracing.current)
    departed: bool = False
    given_up: bool = False


class Coalescer(Generic[ItemT, AnswerT]):
    """While ``abreast`` calls are under way the next items wait, then leave as one list. Alone, an item leaves at once.

    With one at a time, nothing is done here while the service works, and nothing there while this gateway does: what
    does not gain by long lists is quicker with two or three.

    ``call`` takes a list of at most ``batch_max`` items and returns as many answers in their order. What it raises
    goes to everyone of that list. One that is slower than ``PATIENCE_SECONDS`` no longer counts, so that one stuck
    service process does not hold up the others; ``FLIGHTS_MAX`` there are at most.
    """

    def __init__(
        self,
        call: Callable[[list[ItemT]], Sequence[AnswerT]],
        *,
        batch_max: int = BATCH_MAX,
        abreast: int = 1,
        queue_max: int = QUEUE_MAX,
        deadline: float = RPC_DEADLINE_SECONDS,
    ) -> None:
        self._call = call
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._deadline = deadline
        self._queue: deque[_Waiter[ItemT]] = deque()
        self._flights = Semaphore(FLIGHTS_MAX)
        self._places = Semaphore(abreast)
        self._pumping = False

    def submit(self, item: ItemT) -> AnswerT:
        """The answer for ``item``, within the deadline in all.

        ``Unavailable``: it never left, so nothing happened. ``RpcTimeout``: it left, and its outcome is unknown.
        """
        if len(self._queue) >= self._queue_max:
            raise Unavailable("Too many requests wait already; try again shortly")
        waiter = _Waiter(item)
        self._queue.append(waiter)
        if not self._pumping:
            self._pumping = True
            eventlet.spawn(self._pump)
        with eventlet.Timeout(self._deadline, False):
            answer: AnswerT = waiter.done.wait()
            return answer
        waiter.given_up = True
        if waiter.departed:
            raise RpcTimeout
        raise Unavailable("Earlier requests took too long; nothing was changed, try again")

    def _pump(self) -> None:
        """Send what waits until nothing does."""
        try:
            while self._queue:
                self._flights.acquire()
                self._places.acquire()
                eventlet.spawn(self._fly, self._next_batch())
        finally:
            self._pumping = False

    def _next_batch(self) -> list[_Waiter[ItemT]]:
        batch: list[_Waiter[ItemT]] = []
        while self._queue and len(batch) < self._batch_max:
            waiter = self._queue.popleft()
            if not waiter.given_up:
                waiter.departed = True
                batch.append(waiter)
        return batch

    def _fly(self, batch: list[_Waiter[ItemT]]) -> None:
        # One call for all has one place in a trace: that of the first whose request is traced.
        tracing.adopt(next((waiter.traceparent for waiter in batch if waiter.traceparent), None))
        impatience = get_hub().schedule_call_global(PATIENCE_SECONDS, self._places.release)
        try:
            if batch:
                _deliver(batch, self._call([waiter.item for waiter in batch]))
        except DocsaveError as exc:
            _fail(batch, exc)
        except Exception:
            _log.exception("coalesced_call_failed")
            _fail(batch, InternalError())
        finally:
            if not impatience.called:
                impatience.cancel()
                self._places.release()
            self._flights.release()


def _deliver(batch: Sequence[_Waiter[Any]], answers: Sequence[Any]) -> None:
    if len(answers) != len(batch):
        raise ValueError(f"{len(batch)} items got {len(answers)} answers")
    for waiter, answer in zip(batch, answers, strict=True):
        waiter.done.send(answer)


def _fail(batch: Sequence[_Waiter[Any]], error: DocsaveError) -> None:
    """Tell everyone, each with an error of its own: a shared one would collect everybody's traceback."""
    for waiter in batch:
        if not waiter.done.ready():
            waiter.done.send_exception(type(error)(error.detail, error.errors))
