"""All deliveries of this process: which endpoints it has, a courier for each, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eventlet

from docsave_services.contracts import FileEvent, WebhookNews
from docsave_services.db.transactions import Transactions
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import DocsaveError
from docsave_services.journal_follower import JournalFollower
from docsave_services.log import get_logger
from docsave_services.wake import Wake
from docsave_services.webhooks.claims import Claim, release, take
from docsave_services.webhooks.courier import Courier
from docsave_services.webhooks.endpoints import Rules
from docsave_services.webhooks.lanes import Lanes
from docsave_services.webhooks.limits import LOOK_SECONDS, PLACES_SECONDS, STOP_SECONDS
from docsave_services.webhooks.recorder import Recorder, write_places
from docsave_services.webhooks.requests import Requests
from docsave_services.webhooks.sender import Line, Resolve, resolve
from docsave_services.webhooks.tail import Tail

_log = get_logger(__name__)


class Dispatcher:
    """Runs the couriers. ``files`` calls that service, ``tell`` puts news of disabled endpoints on the bus, ``holder``
    names this process in leases, and ``find`` looks up names."""

    def __init__(
        self,
        transactions: Transactions,
        rules: Rules,
        files: Callable[..., Any],
        tell: Callable[[list[WebhookNews]], None],
        holder: str,
        find: Resolve = resolve,
    ) -> None:
        self._transactions = transactions
        self._rules = rules
        self._files = files
        self._tell_bus = tell
        self._holder = holder
        self._find = find
        self._lanes = Lanes()
        self._tail = Tail(files)
        self._recorder = Recorder(transactions, holder, self._lost, self._tell)
        self._requests = Requests(transactions, files)
        self._journal = JournalFollower(files, self._tail.deliver, self._tail.begin, lambda: None)
        self._couriers: dict[int, Courier] = {}
        self._ending: set[int] = set()
        self._wake = Wake()
        self._stopped = False
        self._failure: Exception | None = None

    @property
    def head(self) -> Cursor | None:
        """The newest place in the journal that this process has heard of."""
        return self._tail.cursor

    def offer(self, event: FileEvent) -> None:
        """An event from the bus."""
        self._journal.offer(event)

    def look(self) -> None:
        """Something about endpoints may have changed."""
        self._wake.ring()

    def run(self) -> None:
        """Deliver until ``stop``. Raises what ended a part of it: then nothing would be delivered or written down."""
        work = (self._recorder.run, self._journal.run, self._keep_places)
        for each in work:
            eventlet.spawn(self._watch, each)
        while not self._stopped:
            if self._failure is not None:
                raise self._failure
            try:
                self._look_at_endpoints()
            except DocsaveError as exc:
                _log.warning("webhooks_not_looked_at", error=exc.code)
            self._wake.wait(LOOK_SECONDS)

    def stop(self) -> None:
        """Let deliveries under way end, for ``STOP_SECONDS``; write down what was delivered; give the leases back."""
        self._stopped = True
        self._journal.stop()
        for courier in self._couriers.values():
            courier.stop()
        self._wake.ring()
        with eventlet.Timeout(STOP_SECONDS, False):
            while self._couriers or self._ending:
                eventlet.sleep(0.02)
        self._recorder.stop()
        try:
            release(self._transactions, self._holder)
        except DocsaveError as exc:
            _log.warning("webhook_leases_not_released", error=exc.code)

    def _watch(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as exc:
            self._failure = exc
            self._wake.ring()

    def _look_at_endpoints(self) -> None:
        claims, news = take(self._transactions, self._rules.keys, self._holder)
        self._tell(news)
        if self._stopped:
            return
        ours = {claim.endpoint.id for claim in claims}
        for webhook_id in [each for each in self._couriers if each not in ours]:
            self._dismiss(webhook_id)
        for claim in claims:
            self._employ(claim)

    def _employ(self, claim: Claim) -> None:
        webhook_id = claim.endpoint.id
        if webhook_id in self._couriers:
            self._couriers[webhook_id].renew(claim)
        elif webhook_id not in self._ending:  # the one before it may still be sending
            courier = Courier(claim, self._tail, self._recorder, self._lanes, self._requests, self._open_line)
            self._couriers[webhook_id] = courier
            eventlet.spawn(self._guard, courier)

    def _dismiss(self, webhook_id: int) -> None:
        courier = self._couriers.pop(webhook_id, None)
        if courier is not None:
            self._ending.add(webhook_id)
            courier.stop()

    def _guard(self, courier: Courier) -> None:
        try:
            courier.run()
        except Exception as exc:
            # Its place is written down; another one goes on from there.
            _log.error("webhook_courier_failed", webhook=courier.id, error=repr(exc))
            courier.stop()
            eventlet.sleep(LOOK_SECONDS)
        if self._couriers.get(courier.id) is courier:
            del self._couriers[courier.id]
        self._ending.discard(courier.id)
        self._wake.ring()

    def _lost(self, webhook_id: int) -> None:
        """What was written down by somebody else counts: a new courier begins with that."""
        self._dismiss(webhook_id)
        self._wake.ring()

    def _tell(self, news: list[WebhookNews]) -> None:
        for item in news:
            _log.warning("webhook_disabled", webhook=item["id"], user_id=item["user_id"], reason=item["reason"])
        if news:
            eventlet.spawn(self._tell_bus, news)
            self._wake.ring()

    def _open_line(self, url: str) -> Line:
        return Line(url, self._rules.allow_private, self._find)

    def _keep_places(self) -> None:
        """Write down how far those are that had nothing to deliver: it is their lag, and spares reading it again."""
        written: tuple[Cursor, list[tuple[int, int]]] | None = None
        while not self._stopped:
            eventlet.sleep(PLACES_SECONDS)
            place = self._tail.cursor
            idle = [(c.id, c.moves) for c in self._couriers.values() if self._tail.has(c)]
            if place is None or not idle or (place, idle) == written:
                continue
            try:
                write_places(self._transactions, self._holder, idle, place)
                written = (place, idle)
            except DocsaveError as exc:
                _log.warning("webhook_places_not_written", error=exc.code)
