"""What was asked for beside the order of events: tests, and one event once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from docsave_services.contracts import ChangesPage, Delivery, FileEvent
from docsave_services.db.transactions import Transactions
from docsave_services.domain.cursor import Cursor
from docsave_services.errors import CursorExpired, InvalidInput, NotFound
from docsave_services.times import now, to_text
from docsave_services.webhooks import deliveries
from docsave_services.webhooks.endpoints import Caller, find
from docsave_services.webhooks.places import head_of
from docsave_services.webhooks.validation import is_number

NO_EVENT = "There is no such event for this webhook"


class Requests:
    """The requests of all endpoints; ``files`` calls that service."""

    def __init__(self, transactions: Transactions, files: Callable[..., Any]) -> None:
        self._transactions = transactions
        self._files = files

    def waiting(self, webhook_id: int) -> list[Delivery]:
        """Those of one endpoint that are still to be made."""
        return deliveries.waiting(self._transactions, webhook_id)

    def made(self, webhook_id: int) -> None:
        """They are."""
        deliveries.no_more_requests(self._transactions, webhook_id)

    def body(self, wanted: Delivery, user_id: int | None) -> Mapping[str, Any] | None:
        """What is to be sent; None for an event that is not there (any more) for this user."""
        if wanted["cursor"] is None:
            return {"type": wanted["type"], "at": to_text(now())}
        try:
            return event_at(self._files, Cursor.parse(wanted["cursor"]), user_id)
        except (NotFound, CursorExpired):
            return None


def event_at(files: Callable[..., Any], place: Cursor, user_id: int | None) -> FileEvent:
    """The event at ``place``; ``NotFound`` when it is not there, or about a file of somebody but ``user_id``."""
    before = str(Cursor(place.epoch, place.event_id - 1))
    page = cast(ChangesPage, files("changes", since=before, limit=1, user_id=user_id))
    if not page["items"] or page["items"][0]["event_id"] != place.event_id:
        raise NotFound(NO_EVENT)
    return page["items"][0]


def event_for(
    transactions: Transactions, files: Callable[..., Any], caller: Caller, webhook_id: int, event_id: int
) -> FileEvent:
    """The event that an endpoint could have heard of; ``NotFound`` otherwise."""
    if not is_number(event_id):
        raise InvalidInput.for_field("event_id", "must be the event_id of a change")
    row = transactions.read(lambda s: find(s, caller, webhook_id))
    place = Cursor(head_of(files).epoch, event_id)
    try:
        return event_at(files, place, None if row.all_users else row.user_id)
    except CursorExpired as exc:
        raise NotFound(NO_EVENT) from exc
