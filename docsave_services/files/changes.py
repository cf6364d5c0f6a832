"""Changing files: a batch of changes is one transaction, with one outcome for each (ARCHITECTURE, sections 1 and 3)."""

from __future__ import annotations

from collections.abc import Sequence

from eventlet import tpool
from sqlalchemy.exc import IntegrityError

from docsave_services.contracts import Change
from docsave_services.db.transactions import Transactions
from docsave_services.errors import BlobMissing, NotFound
from docsave_services.files.batch import Applied, Batch, refusal
from docsave_services.log import get_logger
from docsave_services.storage import BlobStore

_log = get_logger(__name__)


def apply_changes(transactions: Transactions, store: BlobStore, changes: Sequence[Change]) -> Applied:
    """Apply ``changes`` in one durable transaction. One that is refused leaves the others alone.

    A change whose ``change_key`` is in the journal already is not applied again and has the file's present state as
    its outcome; a request whose ``idempotency`` key was seen before has the first one's. When the database refuses
    the batch as a whole, each change gets a transaction of its own. Content that a file no longer names counts as
    new from now on: who has just been told of it can still read it for the sweeper's grace time.
    """
    sizes = tpool.execute(_blob_sizes, store, [change.get("path") for change in changes])
    applied = _apply(transactions, sizes, changes)
    if applied.released:
        tpool.execute(_blob_sizes, store, sorted(applied.released))
    return applied


def _apply(transactions: Transactions, sizes: dict[str, int], changes: Sequence[Change]) -> Applied:
    try:
        return transactions.write(lambda s: Batch(s, sizes, changes).run(), repeatable=True)
    except IntegrityError:
        alone = [_apply_alone(transactions, sizes, change) for change in changes]
    return Applied(
        [one.outcomes[0] for one in alone],
        [event for one in alone for event in one.events],
        {key for one in alone for key in one.released},
    )


def _apply_alone(transactions: Transactions, sizes: dict[str, int], change: Change) -> Applied:
    """Apply one change, twice if need be: a copy of its message, a request with the same key or reference that was a
    moment faster is found the second time."""
    for _ in range(2):
        try:
            return transactions.write(lambda s: Batch(s, sizes, [change]).run(), repeatable=True)
        except IntegrityError as exc:
            _log.warning("change_refused_by_database", error=str(exc.orig))
    return Applied([refusal(NotFound("there is no such user"))])


def _blob_sizes(store: BlobStore, keys: Sequence[object]) -> dict[str, int]:
    """The sizes of the blobs that are there; all of them count as new from now on."""
    sizes: dict[str, int] = {}
    for key in keys:
        if isinstance(key, str):
            try:
                sizes[key] = store.claim(key)
            except BlobMissing:
                continue  # the change that names it is refused
    return sizes
