"""One endpoint's deliveries: in the order of the journal, each until it is answered, as long as this process may."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from docsave_services import __version__
from docsave_services.contracts import FileEvent
from docsave_services.domain.change_filter import ChangeFilter
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.webhook_pauses import GIVE_UP_AFTER, is_over, pause_seconds
from docsave_services.domain.webhook_signature import signature
from docsave_services.errors import CursorExpired, DocsaveError
from docsave_services.log import get_logger
from docsave_services.metrics.instruments import note_read
from docsave_services.times import now
from docsave_services.wake import Wake
from docsave_services.webhooks.claims import Claim, Progress
from docsave_services.webhooks.deliveries import message_id
from docsave_services.webhooks.lanes import Lanes
from docsave_services.webhooks.limits import SLOW_SECONDS, UNRECORDED_MAX
from docsave_services.webhooks.recorder import Attempt, Recorder
from docsave_services.webhooks.requests import Requests
from docsave_services.webhooks.sender import Answer, Line
from docsave_services.webhooks.tail import Tail
from docsave_services.webhooks.watch import DELIVERIES

_log = get_logger(__name__)

IDLE_SECONDS = 30.0
"""How long an idle courier sleeps at most; it is woken when there is something to do."""

TROUBLE_SECONDS = 1.0
"""Pause when the journal cannot be read or too much is not written down."""

GONE = 410
"""The status by which a receiver says that it never wants to hear of this again (Standard Webhooks)."""


class Courier:
    """Delivers to one endpoint, in a green thread of its own (``run``). It follows the ``Tail`` while up to date.

    Its place in memory may be ahead of what is written down: after a crash those events are sent again, under the same
    ids.
    """

    def __init__(
        self,
        claim: Claim,
        tail: Tail,
        recorder: Recorder,
        lanes: Lanes,
        requests: Requests,
        open_line: Callable[[str], Line],
    ) -> None:
        self._tail = tail
        self._recorder = recorder
        self._lanes = lanes
        self._requests = requests
        self._open_line = open_line
        self._endpoint = claim.endpoint
        self._lease_ends = claim.ends
        self._line: Line | None = None
        self._changes = 0
        self._ended = False
        self._stopped = False
        self._troubled = claim.progress.tries > 0
        self._wake = Wake()
        self._progress: Progress
        self._take_progress(claim.progress)

    @property
    def id(self) -> int:
        """The endpoint's."""
        return self._endpoint.id

    @property
    def user_id(self) -> int | None:
        """Whose changes it hears of; None: everybody's."""
        return self._endpoint.user_id

    @property
    def wanted(self) -> ChangeFilter:
        """Which changes it hears of."""
        return self._endpoint.wanted

    @property
    def moves(self) -> int:
        """Of the progress that it goes by."""
        return self._progress.moves

    def let_go(self, place: Cursor | None) -> None:
        """The tail has something for it; up to ``place`` it has not."""
        self._move_on(place)
        self._wake.ring()

    def renew(self, claim: Claim) -> None:
        """The lease was prolonged; the endpoint may be another than before."""
        self._lease_ends = claim.ends
        moved = claim.progress.moves != self._progress.moves
        if moved or claim.endpoint != self._endpoint:
            if self._tail.leave(self):
                self._move_on(self._tail.cursor)
            self._endpoint = claim.endpoint
            self._changes += 1
            if moved:
                self._take_progress(claim.progress)
            self._wake.ring()

    def stop(self) -> None:
        """Let ``run`` return, after the delivery that is under way."""
        self._stopped = True
        self._tail.leave(self)
        self._wake.ring()

    def run(self) -> None:
        """Deliver until ``stop``."""
        while not self._stopped:
            try:
                if not self._work():
                    self._wake.wait(self._rest())
            except CursorExpired:
                self._end(None, "cursor_expired")
            except DocsaveError as exc:
                _log.warning("webhook_waits", webhook=self.id, error=exc.code)
                self._wake.wait(TROUBLE_SECONDS)
        self._hang_up()

    def _work(self) -> bool:
        """Do what there is to do; False when there is nothing for the moment."""
        if self._endpoint.requests and self._may_send():
            self._make_requests()
        if not self._is_due():
            return False
        changes = self._changes
        stretch = self._tail.after(self._progress.cursor, self.user_id, self.wanted)
        for event in stretch.events:
            if changes != self._changes or not self._deliver(event):
                return changes != self._changes
        if changes != self._changes:
            return True
        self._move_on(stretch.cursor)
        if stretch.more or not self._tail.follow(self, self._progress.cursor):
            return True  # much may have happened while these were delivered
        self._hang_up()
        return False

    def _is_due(self) -> bool:
        return self._endpoint.active and not self._ended and self._may_send() and time.monotonic() >= self._retry_at

    def _may_send(self) -> bool:
        """Whether the endpoint is surely still this process's."""
        return not self._stopped and time.monotonic() < self._lease_ends

    def _rest(self) -> float:
        """How long there is nothing to do, unless the bell rings."""
        if not self._may_send():
            return TROUBLE_SECONDS
        left = self._retry_at - time.monotonic()
        return min(left, IDLE_SECONDS) if left > 0 else IDLE_SECONDS

    def _deliver(self, event: FileEvent) -> bool:
        """Try one event; whether the next one may follow."""
        self._recorder.settle(self.id, UNRECORDED_MAX - 1)
        before, changes = self._progress, self._changes
        with self._lanes.place(self._troubled):
            if changes != self._changes or not self._may_send():
                return False
            answer, attempt = self._send(message_id(self.id, event), event["type"], event)
        place = Cursor.parse(event["cursor"])
        attempt = replace(attempt, cursor=place)
        if self._progress is not before and self._progress.moves != before.moves:
            self._recorder.add(self.id, attempt)  # it was moved meanwhile: this was no step on its way
            return False
        if not answer.delivered:
            self._failed(answer, attempt)
            return False
        self._progress = replace(
            before, cursor=attempt.cursor or before.cursor, tries=0, failing_since=None, retry_at=None
        )
        note_read("webhooks", event["at"])
        self._recorder.add(self.id, attempt, self._progress)
        return True

    def _failed(self, answer: Answer, attempt: Attempt) -> None:
        tries = self._progress.tries + 1
        since = self._progress.failing_since or attempt.at
        pause = pause_seconds(tries, random.random(), answer.retry_after)  # noqa: S311 - jitter, not a secret
        moment = now()
        self._progress = replace(
            self._progress, tries=tries, failing_since=since, retry_at=moment + timedelta(seconds=pause)
        )
        self._retry_at = time.monotonic() + pause
        _log.info("webhook_failed", webhook=self.id, error=answer.error, code=answer.code, tries=tries, retry_in=pause)
        if answer.code == GONE:
            self._end(attempt, "gone")
        elif is_over(since, moment):
            self._end(attempt, "failing")
        else:
            self._recorder.add(self.id, attempt, self._progress)

    def _end(self, attempt: Attempt | None, reason: str) -> None:
        """Have it disabled; nothing more is sent until somebody resumes it, which counts as a move."""
        self._ended = True
        self._recorder.add(self.id, attempt, self._progress, reason)

    def _make_requests(self) -> None:
        """Each once, whatever comes of it: who asked looks at the result and may ask again."""
        for wanted in self._requests.waiting(self.id):
            body = self._requests.body(wanted, self.user_id)
            with self._lanes.place(troubled=True):
                if not self._may_send():
                    return
                if body is None:
                    attempt = _attempt(wanted["message_id"], wanted["type"], Answer(None, None, "event_not_found"), 0.0)
                else:
                    _, attempt = self._send(wanted["message_id"], wanted["type"], body)
            self._recorder.add(self.id, replace(attempt, request=wanted["id"]))
        self._recorder.settle(self.id, 0)
        self._requests.made(self.id)
        self._endpoint = replace(self._endpoint, requests=False)

    def _send(self, message: str, kind: str, content: Any) -> tuple[Answer, Attempt]:
        body = json.dumps(content, separators=(",", ":")).encode()
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"docsave/{__version__}",
            "webhook-id": message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._endpoint.secrets, message, timestamp, body),
        }
        begun = time.monotonic()
        answer = self._current_line().post(body, headers)
        seconds = time.monotonic() - begun
        self._troubled = not answer.delivered or seconds > SLOW_SECONDS
        DELIVERIES.labels("delivered" if answer.delivered else "failed").inc()
        return answer, _attempt(message, kind, answer, seconds)

    def _current_line(self) -> Line:
        if self._line is None or self._line.url != self._endpoint.url:
            self._hang_up()
            self._line = self._open_line(self._endpoint.url)
        return self._line

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()

    def _move_on(self, place: Cursor | None) -> None:
        here = self._progress.cursor
        if place is not None and place.epoch == here.epoch and place.event_id > here.event_id:
            self._progress = replace(self._progress, cursor=place)

    def _take_progress(self, progress: Progress) -> None:
        """Go by what is written down. Of the wall clock not more is believed than that a pause has an end."""
        self._progress = progress
        self._ended = False
        pause = 0.0 if progress.retry_at is None else (progress.retry_at - now()).total_seconds()
        self._retry_at = time.monotonic() + min(max(pause, 0.0), GIVE_UP_AFTER.total_seconds())


def _attempt(message: str, kind: str, answer: Answer, seconds: float) -> Attempt:
    return Attempt(
        message_id=message,
        type=kind,
        at=now(),
        delivered=answer.delivered,
        code=answer.code,
        answer=answer.text,
        error=answer.error,
        milliseconds=round(seconds * 1000),
    )
